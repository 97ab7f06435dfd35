"""Tokens to text while they come: whole characters only, and nothing that a stop string would take back."""

from collections.abc import Sequence
from typing import Protocol

from glassformer.generation.stopping import StopStrings
from glassformer.tokenizer.errors import TokenizerError


class Detokenizer(Protocol):
    """Turns ids into text one at a time and holds back bytes that do not make a whole character yet."""

    def push(self, token: int, /) -> str:
        """The text that is certain after one more id."""

    def flush(self) -> str:
        """What is left at the end, incomplete characters replaced."""


class PaddedDetokenizer:
    """Gives no text to ids that the vocabulary does not name: a model with padded embeddings may choose them."""

    def __init__(self, inner: Detokenizer) -> None:
        self.inner = inner

    def push(self, token: int, /) -> str:
        """The text that is certain after one more id."""
        try:
            return self.inner.push(token)
        except TokenizerError:
            return ""

    def flush(self) -> str:
        """What is left at the end."""
        return self.inner.flush()


class SilentDetokenizer:
    """Stands in where the model has no vocabulary: every token is the empty text."""

    def push(self, token: int, /) -> str:
        """Nothing."""
        return ""

    def flush(self) -> str:
        """Nothing."""
        return ""


class TextPieces:
    """A detokenizer followed by the watch for stop strings."""

    def __init__(self, detokenizer: Detokenizer, stop: Sequence[str]) -> None:
        self.detokenizer = detokenizer
        self.stop = StopStrings(stop)

    def push(self, token: int) -> tuple[str, bool]:
        """Text that may be shown after one more token, and whether a stop string ended it."""
        return self.stop.push(self.detokenizer.push(token))

    def flush(self) -> tuple[str, bool]:
        """The rest of the text, and whether a stop string ended it."""
        piece, stopped = self.stop.push(self.detokenizer.flush())
        return (piece, True) if stopped else (piece + self.stop.flush(), False)
