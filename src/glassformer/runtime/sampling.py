"""Tokens out of logits, compiled: the greatest, one drawn at random, the most probable ones, log-probabilities.

One thread does it all, in a few passes over the vocabulary; `glassformer.kernels.sampling` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.kernels import candidates, sampling
from glassformer.kernels.attention import POSITION
from glassformer.runtime.arrays import Float32, ShapeError, as_float32
from glassformer.runtime.executor import Cost, Launch
from glassformer.simd import reference
from glassformer.simd.kernel import Kernel, Loaded, address_of
from glassformer.simd.target import Target, find_target

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

SLACK = 64  # numbers behind the last one that kernels may write
MOST = 16  # tokens that are chosen without coming back to Python
RANDOM_STEPS = 2.0**sampling.RANDOM_BITS


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


class Sampler:
    """The choices over a vocabulary of `size` tokens, with the memory that they work in: for one thread at a time."""

    def __init__(self, size: int, target: str | None = None) -> None:
        self.size = size
        self._target: Target = find_target(target)
        room = size + SLACK
        self._values, self._near, self._near_weights, self._spare = (np.empty(room, np.float32) for _ in range(4))
        self._ids = np.empty(room, np.int32)
        self._found = np.empty(2, np.int64)
        self._fractions, self._counts = np.zeros(4, np.float64), np.zeros(sampling.COUNTS, np.int64)
        self._numbers, self._tokens = np.zeros(MOST, np.int64), np.zeros(MOST, np.int64)
        self._chances = np.zeros(MOST, np.float32)
        self._as_python = reference.wanted()
        self._loaded: dict[Kernel, Loaded] = {}
        self._behind: Launch | None = None
        choosing = (
            self._fractions, self._counts, self._numbers, self._tokens, self._chances,
            np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int64),
        )  # fmt: skip
        drawing = (self._values, self._near, self._near_weights, self._spare, self._ids, self._found)
        leading = (self._values, self._near, self._spare, self._ids, self._found)
        self._kept = choosing, drawing
        # Addresses are taken once: taking one costs as much as a pass over the logits.
        self._choose_memory, self._leading_memory = (
            arrays if self._as_python else tuple(address_of(array) for array in arrays)
            for arrays in ((*choosing, *drawing), leading)
        )

    def ask(self, cut: Cut | None, numbers: Sequence[float], *, changed: bool = False) -> None:
        """Say how the next tokens are to be chosen.

        Args:
            cut: what to draw from; None: the greatest logit is chosen, the lowest id of equal ones.
            numbers: a random number in [0, 1), a multiple of 2^-53, for each token; not looked at without a cut.
            changed: whether the tokens are not chosen among the model's own logits.
        """
        self._counts[:] = cut is not None, 0 if cut is None else min(cut.top_k, self.size), changed, 0
        if cut is not None:
            self._fractions[:] = cut.temperature, cut.top_p, cut.min_p, cut.typical_p
            self._numbers[: len(numbers)] = [int(number * RANDOM_STEPS) for number in numbers]

    def check_room(self, count: int) -> None:
        """Refuse to choose more tokens than there is room for since they were asked for."""
        room = MOST - int(self._counts[sampling.CHOSEN])
        if not 0 < count <= room:
            raise ShapeError(f"{count} tokens in one go; this sampler has room for 1 to {room}: ask for fewer, or anew")

    def found(self) -> list[tuple[int, float] | None]:
        """The tokens that were chosen since they were asked for, with their log-probabilities.

        None instead of one where the logits hold NaN or plus infinity, or none is finite.
        """
        count = int(self._counts[sampling.CHOSEN])
        each = zip(self._tokens[:count].tolist(), self._chances[:count].tolist(), strict=True)
        return [None if token == sampling.NONE else (token, chance) for token, chance in each]

    def choose(
        self, logits: Float32, cut: Cut | None, number: float = 0.0, allowed: Float32 | None = None
    ) -> tuple[int, float] | None:
        """The token of a cut and a number (see `ask`), with its log-probability.

        Args:
            logits: [size], the model's.
            allowed: [size], those to choose from, where something changed them.

        Returns:
            None if any of those to choose from is NaN or plus infinity, or none is finite.
        """
        x = self._checked(logits)
        source = x if allowed is None else self._checked(allowed)
        self.ask(cut, [number], changed=allowed is not None)
        self._run(sampling.choose, (source, x, self.size, *self._choose_memory), tasks=1)
        return self.found()[0]

    def behind(self, logits: Float32, ids: Int32, positions: Int32, tiles: Int64) -> Launch:
        """A launch that chooses the next token behind a pass over one row, and makes it the next pass's row.

        Args:
            logits: [1, size], written by the pass; ids, positions: [1]; tiles: [1, TILE], see `runtime.batch`.
        """
        if self._behind is None or self._behind.arguments[1] is not logits:
            row = ids, positions, tiles.reshape(-1)[POSITION:]
            (_, drawing), memory = self._kept, self._kept[0][:-3]
            arguments = (logits, logits, self.size, *memory, *row, *drawing)
            self._behind = Launch(sampling.choose.specialise(), arguments, 1, self.size, Cost(0, 8 * self.size))
        return self._behind

    def leading(self, logits: Float32, count: int) -> list[int]:
        """Ids of the `count` greatest of logits [size], best first, equal ones by id; minus infinity is left out."""
        if count <= 0:
            return []
        x = self._checked(logits)
        found = self._run(candidates.leading, (x, self.size, min(count, self.size), *self._leading_memory))
        ids: list[int] = self._ids[:found].tolist()
        return sorted(ids, key=lambda token: -x[token])  # stable, and the ids come in ascending order

    def log_probabilities(self, logits: Float32, ids: Sequence[int]) -> list[float]:
        """Logarithms of the probabilities of `ids` under logits [size]; bit for bit those of `ops.log_softmax`."""
        x = self._checked(logits)
        wanted, out = np.array(ids, np.int32), np.empty(len(ids), np.float32)
        self._run(sampling.log_probabilities, (x, self.size, wanted, len(ids), out))
        found: list[float] = out.tolist()
        return found

    def _checked(self, logits: Float32) -> Float32:
        if logits.dtype != np.float32 or not logits.flags.c_contiguous:
            logits = as_float32(logits, "logits")
        if logits.shape != (self.size,):
            raise ShapeError(f"logits have shape {logits.shape}; this sampler is for a vocabulary of {self.size}")
        return logits

    def _run(self, kernel: Kernel, arguments: tuple[Any, ...], tasks: int = 0) -> int:
        """The kernel's result."""
        if self._as_python:
            return int(kernel.specialise()(*arguments, begin=0, end=tasks) or 0)
        loaded = self._loaded.get(kernel)
        if loaded is None:
            loaded = self._loaded[kernel] = kernel.specialise().load(self._target)
        return loaded.entry(loaded.pack(arguments), 0, tasks)
