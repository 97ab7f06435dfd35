"""The memory that tokens are chosen in, and the launches that choose them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from glassformer.kernels import candidates, filtering, sampling, settling
from glassformer.kernels.softmax import PART
from glassformer.runtime.arrays import Float32
from glassformer.runtime.executor import Launch
from glassformer.runtime.memory import aligned

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Row = tuple[Int32, Int32, Int64]  # of each text: the row that a pass reads next, see `sampling.place`

RANDOM_STEPS = 2.0**sampling.RANDOM_BITS
WORK = 4  # elementary steps for a token at least


@dataclass(frozen=True)
class Cut:
    """What of the distribution is left to draw from, in this order; the defaults leave everything.

    Attributes:
        temperature: above 0; divides the logits.
        top_k: the k most probable tokens, equal ones by id; 0: all.
        top_p: the fewest most probable tokens that have this share of the probability, and at least one.
        min_p: tokens at least this fraction as probable as the most probable one.
        typical_p: this share of the probability, of tokens whose surprisal is nearest to the entropy.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0


@lru_cache  # the same for every token of a text
def inverse(temperature: float) -> np.float32:
    """What distances from the greatest logit are multiplied by: 1 / temperature as f32, neither 0 nor infinite."""
    limits = np.finfo(np.float32)
    with np.errstate(over="ignore"):
        return np.float32(np.clip(1.0 / np.float64(temperature), limits.smallest_normal, limits.max))


@lru_cache
def least_weight(min_p: float) -> float:
    """The least f32 that is at least `min_p`."""
    nearest = np.float32(min_p)  # compared in f64: beside an f32, NumPy would round `min_p` too
    return float(nearest if float(nearest) >= min_p else np.nextafter(nearest, np.float32(2.0)))


@dataclass(frozen=True, eq=False)
class Wish:
    """How a token is to be chosen.

    Attributes:
        cut: what to draw from; None: the greatest logit is chosen, the lowest id of equal ones.
        number: a random number in [0, 1), a multiple of 2^-53; not looked at without a cut.
        mask: float32 [vocab_size], added to the logits that are chosen from.
    """

    cut: Cut | None = None
    number: float = 0.0
    mask: Float32 | None = None


class Workspace:
    """What is written and read again while one token is chosen; see `sampling.place` for each array."""

    def __init__(self, size: int) -> None:
        self.parts = -(-size // PART)
        self.room = self.parts * filtering.GATHERED + 64
        self.tally = aligned(self.parts * filtering.TALLY, np.int64).reshape(-1, filtering.TALLY)
        self.summits = aligned(self.parts * candidates.SUMMITS, np.float32).reshape(self.parts, -1)
        self.peaks = aligned(self.parts * 2, np.float32).reshape(-1, 2)
        self.powers = aligned(self.parts * 16, np.float32).reshape(-1, 16)
        self.desk = aligned(filtering.DESK * self.room, np.float32).reshape(-1, self.room)
        self.ids = aligned(self.room, np.int32)
        self.masked = aligned(size, np.float32)


class Desk:
    """Where tokens of one text are chosen: what was asked, what was found, and the launches between.

    state, wishes, numbers, tokens, chances: see `glassformer.kernels.filtering` and `sampling.place`.
    """

    def __init__(self, size: int, most: int, workspace: Workspace) -> None:
        self.size, self.workspace = size, workspace
        self.state = np.zeros(filtering.STATE, np.int64)
        self.wishes = np.zeros(filtering.WISHES, np.float64)
        self.marks = np.zeros(filtering.MARKS, np.float32)
        self.numbers, self.tokens = (np.zeros(most, np.int64) for _ in range(2))
        self.chances = np.zeros(most, np.float32)
        # These stand for logits and mask, and for the row to be read.
        self.allowed, self.logits, self.mask = (np.zeros(1, np.float32) for _ in range(3))
        self.row: Row = np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int64)

    def ask(self, cut: Cut | None, numbers: Sequence[float], *, changed: bool = False, masked: bool = False) -> None:
        """Say how the next tokens are to be chosen; see `Sampler.ask`. changed: not among the model's own logits."""
        top_k = 0 if cut is None or cut.top_k >= self.size else cut.top_k
        self.state[: filtering.COUNT] = cut is not None, top_k, changed or masked, masked, 0
        if cut is not None:
            self.wishes[:] = inverse(cut.temperature), least_weight(cut.min_p), cut.top_p, cut.typical_p
            self.numbers[: len(numbers)] = [int(number * RANDOM_STEPS) for number in numbers]

    def found(self, place: int) -> tuple[int, float] | None:
        """The token that was chosen at a place since it was asked for, and its log-probability."""
        token = int(self.tokens[place])
        return None if token == sampling.NONE else (token, float(self.chances[place]))

    def launches(self, allowed: Float32, logits: Float32, row: Row) -> Iterator[Launch]:
        """What chooses a token out of logits [size]."""
        size, work, parts, at = self.size, WORK * self.size, self.workspace.parts, self.workspace
        own, desk, peaks = (self.wishes, self.state, self.marks), (at.desk, at.room), (at.summits, at.peaks)
        source, filtered = (allowed, logits, at.masked, size), (*own, at.tally, size)
        survey = allowed, self.mask, logits, at.masked, size, self.state, *peaks
        pick = allowed, at.masked, size, *own, *peaks, *desk, at.ids
        weigh = *source, *own, at.tally, at.powers, *desk
        sums, chosen = (at.tally, at.peaks, at.powers), (at.ids, self.numbers, self.tokens, self.chances)
        yield Launch(sampling.survey.specialise(), survey, parts, work)
        yield Launch(sampling.pick.specialise(), pick, 1, work)
        yield Launch(sampling.weigh.specialise(), weigh, parts, work)
        yield Launch(settling.settle.specialise(), (*filtered, at.summits, *desk, filtering.TOP_P), 1, work)
        yield Launch(filtering.gather.specialise(), (*filtered, *desk), parts, work)
        yield Launch(settling.settle.specialise(), (*filtered, at.summits, *desk, filtering.TYPICAL_P), 1, work)
        yield Launch(sampling.place.specialise(), (*source, *own, *sums, *desk, *chosen, *row), 1, work)
