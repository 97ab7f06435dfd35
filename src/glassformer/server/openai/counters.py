"""How much was asked and answered."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from glassformer.server.openai.usage import Usage


@dataclass(eq=False)
class Counters:
    """Totals since the server started; written in the server's thread alone.

    Attributes:
        answers: (endpoint, status) -> how many.
        seconds: endpoint -> time that answers took in all.
        open: requests that are being answered.
        prompt_tokens, completion_tokens: of requests that were answered.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    open: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, usage: Usage) -> None:
        """Count the tokens of an answer."""
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
