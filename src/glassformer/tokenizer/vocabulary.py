"""The tables of a byte-level BPE tokenizer, read from `vocab.json` and `merges.txt` (or from `tokenizer.json`).

`vocab.json` maps tokens, spelled in GPT-2's byte alphabet, to ids. Each line of `merges.txt` after an optional
`#version` header is a pair of tokens, separated by one space; the line's place is the pair's rank, and the two
joined are a token too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from glassformer.tokenizer.added_tokens import AddedToken
from glassformer.tokenizer.byte_alphabet import ALPHABET, unspell
from glassformer.tokenizer.errors import TokenizerError
from glassformer.tokenizer.json_file import read_json_object, read_text

MISSING = -1  # in `byte_ids`: no token stands for this byte alone
ID_LIMIT = 2**31 - 1  # ids are 32-bit integers in the compiled path


@dataclass(frozen=True)
class Vocabulary:
    """What encoding and decoding need; checked, and never changed after."""

    ids: Mapping[str, int]  # token as spelled in the file -> id
    merges: Mapping[tuple[int, int], tuple[int, int]]  # pair of ids -> (rank, id of the two joined)
    byte_ids: tuple[int, ...]  # [256] byte -> id of its token, or MISSING
    added: Mapping[str, AddedToken]  # special and other added tokens, by their text

    @cached_property
    def tokens(self) -> dict[int, bytes]:
        """Id -> the bytes that it stands for. Ids may have gaps."""
        found = {number: unspell(token) for token, number in self.ids.items()}
        found.update((token.id, token.text.encode("utf8")) for token in self.added.values())
        return found

    @cached_property
    def size(self) -> int:
        """The highest id plus one: how many logits can name a token."""
        return max(self.tokens) + 1


def read_vocab(path: Path) -> dict[str, int]:
    """Tokens and ids of a `vocab.json`. `TokenizerError` if it is not one."""
    return check_ids(read_json_object(path), str(path))


def check_ids(table: Mapping[str, object], source: str) -> dict[str, int]:
    """The same table, once every token is encodable text and every id a whole number of its own."""
    if not table:
        raise TokenizerError(f"{source}: holds no tokens")
    owners: dict[int, str] = {}
    for token, number in table.items():
        if type(number) is not int or not 0 <= number < ID_LIMIT:
            raise TokenizerError(f"{source}: token {token!r} has the id {number!r:.80}; expected 0 to {ID_LIMIT - 1}")
        if number in owners:
            raise TokenizerError(f"{source}: tokens {owners[number]!r} and {token!r} share the id {number}")
        if not token.isascii() and any("\ud800" <= letter <= "\udfff" for letter in token):
            raise TokenizerError(f"{source}: token {token!r} holds half of a surrogate pair, which is no text")
        owners[number] = token
    return {token: number for number, token in owners.items()}


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Pairs of a `merges.txt` in order of rank. Windows line ends and blank lines are allowed."""
    pairs: list[tuple[str, str]] = []
    # Not `splitlines`: only the newline ends a line here.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise TokenizerError(f"{path}: line {number}: expected two tokens and a space between, found {line!r:.80}")
        pairs.append((left, right))
    return pairs


def build_vocabulary(
    ids: Mapping[str, int], pairs: Sequence[tuple[str, str]], added: Iterable[AddedToken], source: str
) -> Vocabulary:
    """Tables from what the files hold. `source` names the file of the merges in errors."""
    return Vocabulary(
        ids=ids,
        merges=_merge_table(ids, pairs, source),
        byte_ids=tuple(ids.get(symbol, MISSING) for symbol in ALPHABET),
        added={token.text: token for token in added},
    )


def _merge_table(
    ids: Mapping[str, int], pairs: Sequence[tuple[str, str]], source: str
) -> dict[tuple[int, int], tuple[int, int]]:
    """Pairs as ids. A pair that is listed twice has the later rank, as both reference implementations read it."""
    try:
        return {(ids[left], ids[right]): (rank, ids[left + right]) for rank, (left, right) in enumerate(pairs)}
    except KeyError:
        for rank, (left, right) in enumerate(pairs):
            for token in (left, right, left + right):
                if token not in ids:
                    message = f"merge {rank}, {left!r} + {right!r}: the vocabulary has no token {token!r}"
                    raise TokenizerError(f"{source}: {message}") from None
        raise
