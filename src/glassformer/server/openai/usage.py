"""What a request has cost, in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Tokens of the prompts, each counted once, and of everything that was written."""

    prompt_tokens: int
    completion_tokens: int = 0

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], completion_tokens: int = 0) -> Usage:
        """The usage of prompts."""
        return cls(sum(map(len, prompts)), completion_tokens)

    def to_dict(self) -> dict[str, Any]:
        """As an answer has it."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens, "total_tokens": total,
        }  # fmt: skip
