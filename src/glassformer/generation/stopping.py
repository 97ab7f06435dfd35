"""When a continuation ends: stop strings, stop ids, the asked length, the context window."""

from collections.abc import Sequence
from typing import Literal

from glassformer.generation.errors import ContextError
from glassformer.generation.options import GenerationOptions

FinishReason = Literal["stop", "length"]


class Progress:
    """How far a text has come in one stop string, looking at each character once (Knuth, Morris and Pratt 1977).

    Attributes:
        length: of the longest beginning of the string that the text ends with.
    """

    def __init__(self, string: str) -> None:
        self.string, self.length = string, 0
        # At n: length of the longest other beginning that the first n characters end with; made as far as it is needed.
        self._shorter = [0, 0]

    def push(self, piece: str) -> int | None:
        """Where in `piece` the string is complete for the first time; None: it is not."""
        place = 0
        while place < len(piece):
            if self.length == 0:
                place = piece.find(self.string[0], place)
                if place < 0:
                    return None
            if piece[place] != self.string[self.length]:
                self.length = self._shorter[self.length]
                continue
            place += 1
            self._grow()
            if self.length == len(self.string):
                return place
        return None

    def _grow(self) -> None:
        """One character more of the string was met."""
        self.length += 1
        if self.length == len(self._shorter):
            character, shorter = self.string[self.length - 1], self._shorter[-1]
            while shorter and self.string[shorter] != character:
                shorter = self._shorter[shorter]
            self._shorter.append(shorter + (self.string[shorter] == character))


class StopStrings:
    """Watches text that arrives in pieces for stop strings, which may span pieces.

    Text that may be the beginning of a stop string is held back until the next piece decides. The string that is
    complete first, character by character, counts (of two that end together, the longer), so the outcome does not
    depend on where the pieces were cut. Behind it nothing is shown.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.held, self.met = "", False
        self._all = [Progress(string) for string in strings]

    def push(self, piece: str) -> tuple[str, bool]:
        """Text that is safe to show, and whether a stop string was met; the text ends before that string."""
        if self.met:
            return "", True
        text = self.held + piece
        ends = [(progress.push(piece), len(progress.string)) for progress in self._all]
        found = [(end, -length) for end, length in ends if end is not None]
        if found:
            end, length = min(found)
            shown = text[: len(self.held) + end + length]
            self.held, self.met = "", True
            return shown, True
        held = max((progress.length for progress in self._all), default=0)
        self.held = text[len(text) - held :]
        return text[: len(text) - held], False

    def flush(self) -> str:
        """The text held back, once no more will come."""
        text, self.held = self.held, ""
        return text


def check_fits(tokens: int, n_positions: int, what: str = "the prompt") -> None:
    """Refuse `tokens` ids that the context window of `n_positions` cannot hold.

    Raises:
        ContextError: with both numbers; nothing is ever cut off silently.
    """
    if tokens > n_positions:
        message = f"{what} has {tokens} tokens and the context window of the model holds {n_positions}; shorten it"
        raise ContextError(message, tokens=tokens, limit=n_positions)


def room(prompt_tokens: int, n_positions: int, options: GenerationOptions, what: str = "the prompt") -> int:
    """How many tokens may be generated after a prompt: at least 1.

    The context window limits what the network reads, and it never reads the last token it wrote: a prompt of n tokens
    leaves room for n_positions - n + 1.

    Raises:
        ContextError: if the prompt exceeds the context window, or leaves no room under `max_length`.
    """
    check_fits(prompt_tokens, n_positions, what)
    limits = [n_positions - prompt_tokens + 1]
    if options.max_new_tokens is not None:
        limits.append(options.max_new_tokens)
    if options.max_length is not None:
        if prompt_tokens >= options.max_length:
            raise ContextError(
                f"{what} has {prompt_tokens} tokens and max_length is {options.max_length}, which counts the "
                f"prompt; give a max_length of at least {prompt_tokens + 1}, or max_new_tokens instead",
                tokens=prompt_tokens,
                limit=options.max_length - 1,
            )
        limits.append(options.max_length - prompt_tokens)
    return min(limits)
