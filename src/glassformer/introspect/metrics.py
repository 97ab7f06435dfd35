"""What a run is judged by: numbers made of logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.positions import absolute_positions
from glassformer.introspect.tokens import Token, token_id

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
Metric = Callable[[Float32], float]


@dataclass(frozen=True)
class LogitDifference:
    """How much more a model expects one token than another after the last position that it is shown.

    logits [positions, vocab_size] -> logits[-1, token] - logits[-1, against].
    """

    token: int
    against: int

    def __call__(self, logits: Float32) -> float:
        return float(logits[-1, self.token]) - float(logits[-1, self.against])


def logit_difference(model: TextModel, token: Token, against: Token) -> LogitDifference:
    """The difference of the logits of two tokens, by text or id.

    Raises:
        IntrospectionError: for what is not a token.
    """
    return LogitDifference(token_id(model, token), token_id(model, against))


@dataclass(frozen=True)
class Judge:
    """A metric, and the position whose logits it is shown; None: it is shown all.

    tokens: of the runs that are judged.
    """

    metric: Metric
    position: int | None
    tokens: int

    def __post_init__(self) -> None:
        if not callable(self.metric):
            raise IntrospectionError(f"the metric is {self.metric!r}; give a function of logits, or a logit_difference")
        if self.position is not None:
            absolute_positions(self.position, self.tokens)

    @property
    def last_only(self) -> bool:
        """Whether logits after the last token are enough."""
        return self.position is not None and self.position % self.tokens == self.tokens - 1

    def __call__(self, logits: Float32, what: str) -> float:
        """The metric of a run's logits, [tokens, vocab_size] or of the last token [1, vocab_size].

        Raises:
            IntrospectionError: if it is no finite number.
        """
        if self.position is not None:
            place = -1 if self.last_only else self.position % self.tokens
            logits = logits[place][None]  # [1, vocab_size]
        found = self.metric(logits)
        if not isinstance(found, int | float | np.number) or not math.isfinite(found):
            shown = found if isinstance(found, float) else type(found).__name__
            raise IntrospectionError(f"the metric of {what} is {shown}; it must give a finite number")
        return float(found)
