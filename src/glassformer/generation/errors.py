"""What can go wrong between a prompt and its continuation."""

from collections.abc import Sequence

from glassformer.errors import GlassformerError


class GenerationError(GlassformerError):
    """The root of every error of `glassformer.generation`."""


class OptionsError(GenerationError):
    """Parameters of generation that are out of range, all of them at once.

    Attributes:
        problems: one sentence per parameter: its name, what was found, what is allowed.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class PromptError(GenerationError):
    """A prompt that the model cannot start from: wrong type, ids outside the vocabulary, nothing at all."""


class ContextError(GenerationError):
    """A prompt that is longer than the room for it.

    Attributes:
        tokens: length of the prompt.
        limit: the longest prompt that would have been accepted.
    """

    def __init__(self, message: str, *, tokens: int, limit: int) -> None:
        self.tokens = tokens
        self.limit = limit
        super().__init__(message)


class LogitsError(GenerationError):
    """Logits that no token can be chosen from: NaN, plus infinity, or every token forbidden."""


class NoTokenizerError(GenerationError):
    """Text was given or asked for, and the model's folder holds no vocabulary."""
