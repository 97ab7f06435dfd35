"""When a continuation ends: stop strings, stop ids, the asked length, the context window."""

from collections.abc import Sequence
from typing import Literal

from glassformer.generation.errors import ContextError
from glassformer.generation.options import GenerationOptions

FinishReason = Literal["stop", "length"]


class StopStrings:
    """Watches text that arrives in pieces for stop strings, which may span pieces.

    Text that may be the beginning of a stop string is held back until the next piece decides. The string that is
    complete first, character by character, counts, so the outcome does not depend on where the pieces were cut.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings = tuple(strings)
        self.held = ""

    def push(self, piece: str) -> tuple[str, bool]:
        """Text that is safe to show, and whether a stop string was met; the text ends before that string."""
        text = self.held + piece
        start = self._first_match(text)
        if start is not None:
            self.held = ""
            return text[:start], True
        held = self._undecided(text)
        self.held = text[len(text) - held :]
        return text[: len(text) - held], False

    def flush(self) -> str:
        """The text held back, once no more will come."""
        text, self.held = self.held, ""
        return text

    def _first_match(self, text: str) -> int | None:
        """Where the stop string that ends first in `text` begins (of two that end together, the longer)."""
        found = [(text.find(string), string) for string in self.strings]
        matches = [(start + len(string), start) for start, string in found if start >= 0]
        return min(matches)[1] if matches else None

    def _undecided(self, text: str) -> int:
        """Length of the longest end of `text` that is the beginning of a stop string."""
        longest = 0
        for string in self.strings:
            for length in range(min(len(string) - 1, len(text)), longest, -1):
                if text.endswith(string[:length]):
                    longest = length
                    break
        return longest


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
