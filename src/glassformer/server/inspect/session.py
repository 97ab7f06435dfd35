"""What the endpoints share: the model, and the runs that were made with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from glassformer.generation.special_ids import start_id
from glassformer.server.inspect.runs import Runs

if TYPE_CHECKING:
    from glassformer.introspect.head_scores import HeadScores
    from glassformer.model import Model

KEPT_BYTES, LARGEST_RUN = 3 << 30, 4 << 30


@dataclass(eq=False)
class Session:
    """A model under inspection. Endpoints use it from one thread.

    name: what the page calls the model; dtype: how its weights were asked for.
    """

    model: Model
    name: str
    dtype: str = "auto"
    runs: Runs = field(default_factory=lambda: Runs(KEPT_BYTES, LARGEST_RUN))
    head_scores: dict[str, HeadScores] = field(default_factory=dict)

    @cached_property
    def vocabulary(self) -> list[str] | None:
        """The text of each token, by id; None where the model has no vocabulary."""
        tokenizer = self.model.tokenizer
        if tokenizer is None:
            return None
        known = tokenizer.vocabulary.tokens
        return [known.get(i, b"").decode("utf8", "backslashreplace") for i in range(self.model.config.vocab_size)]

    def begins(self, ids: Sequence[int]) -> bool:
        """Whether a text begins with the begin-of-text token."""
        return bool(ids) and ids[0] == start_id(self.model.config, self.model.recommended)

    def token(self, token: int) -> str:
        """The text of a token, or its id."""
        return str(token) if self.vocabulary is None else self.vocabulary[token]
