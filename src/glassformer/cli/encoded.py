"""A text as the tokens that it became, in the forms in which `tokenize` shows it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Encoded:
    """Token ids with the bytes of each, and where each stands in the text.

    Attributes:
        text: what was encoded.
        ids: token ids, [tokens].
        pieces: bytes of each token, [tokens]; together they are the text in UTF-8.
        offsets: start and end of each token in characters of the text, [tokens]; a token that holds part of a
            character spans the whole of it.
    """

    text: str
    ids: Sequence[int]
    pieces: Sequence[bytes]
    offsets: Sequence[tuple[int, int]]

    def lines(self, with_offsets: bool) -> Iterator[str]:
        """One line per token, fields separated by tabs: id, where asked start and end, and the token as a literal."""
        for token, piece, (start, end) in zip(self.ids, self.pieces, self.offsets, strict=True):
            span = f"{start}\t{end}\t" if with_offsets else ""
            yield f"{token}\t{span}{literal(piece)}\n"

    def as_json(self) -> dict[str, object]:
        """The object that `tokenize --json` prints."""
        return {
            "text": self.text,
            "count": len(self.ids),
            "ids": [int(token) for token in self.ids],
            "tokens": [piece.decode("utf-8", "replace") for piece in self.pieces],
            "offsets": [[int(start), int(end)] for start, end in self.offsets],
        }


def literal(piece: bytes) -> str:
    """A token as a Python literal: a string where its bytes are text, bytes where they are part of a character."""
    try:
        return repr(piece.decode("utf-8"))
    except UnicodeDecodeError:
        return repr(piece)
