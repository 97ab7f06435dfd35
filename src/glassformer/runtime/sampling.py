"""Tokens out of logits, compiled: the greatest, one drawn at random, the most probable ones, log-probabilities.

`glassformer.kernels.sampling` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.kernels import candidates, filtering, sampling
from glassformer.kernels.attention import POSITION
from glassformer.runtime.arrays import Float32, ShapeError, as_float32
from glassformer.runtime.desk import Cut, Desk, Row, Wish
from glassformer.runtime.executor import Eager, Launch
from glassformer.runtime.plan import Plan
from glassformer.simd.kernel import Kernel, Loaded, address_of

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

MOST = 16  # tokens that are chosen without coming back to Python
GREATEST = Wish()
TEXTS = 4  # whose tokens are chosen side by side; what they work in stays near the processor


def stacked(masks: Sequence[Float32 | None]) -> Float32 | None:
    """Masks [size] as one array [texts, size]; None without any. What texts without one have is not looked at."""
    given = next((mask for mask in masks if mask is not None), None)
    return None if given is None else np.stack([given if mask is None else mask for mask in masks])


class Sampler:
    """The choices over a vocabulary of `size` tokens, with the memory that they work in: for one thread at a time.

    `executor` does the work on its threads; without one the calling thread does it.
    """

    def __init__(self, size: int, executor: Eager | None = None) -> None:
        self.size, self.executor = size, executor or Eager(1)
        self._desk = Desk(size, 1, MOST)
        self._side_by_side: Desk | None = None
        self._plans: dict[tuple[int, int], Plan] = {}
        self._behind: tuple[Float32, Plan] | None = None
        self._mask: Float32 | None = None
        self._loaded: dict[Kernel, Loaded] = {}
        logs, _, near, spare = self._desk.desk[0]
        self._leading = logs, near, spare, self._desk.ids[0], np.empty(3, np.int64)
        # Addresses are taken once: taking one costs as much as a pass over the logits.
        self._leading_memory = self._leading if self.executor.as_python else tuple(map(address_of, self._leading))

    def _replay(self, desk: Desk, texts: int, allowed: Float32, logits: Float32, masks: Float32 | None) -> None:
        """Choose a token for each of so many texts of a desk, out of arrays [texts, size]."""
        key = id(desk), texts
        if key not in self._plans:
            self._plans[key] = self._written(list(desk.launches(desk.allowed, desk.logits, desk.row, texts)))
        plan = self._plans[key]
        plan.point(desk.allowed, allowed)
        plan.point(desk.logits, logits)
        if masks is not None:
            plan.point(desk.masks, masks)
        plan.replay()

    def _written(self, launches: Sequence[Launch]) -> Plan:
        """Launches as a plan."""
        return Plan(self.executor, launches, ["sampling"] * len(launches), [], self.executor.threads)

    def ask(self, cut: Cut | None, numbers: Sequence[float], mask: Float32 | None = None) -> None:
        """Say how the next tokens are to be chosen.

        Args:
            cut: what to draw from; None: the greatest logit is chosen, the lowest id of equal ones.
            numbers: a random number in [0, 1), a multiple of 2^-53, for each token; not looked at without a cut.
            mask: [size], added to the logits.
        """
        self._desk.ask(0, cut, numbers, masked=mask is not None)
        self._mask = mask

    def check_room(self, count: int) -> None:
        """Refuse to choose more tokens than there is room for since they were asked for."""
        room = MOST - self._count
        if not 0 < count <= room:
            raise ShapeError(f"{count} tokens in one go; this sampler has room for 1 to {room}: ask for fewer, or anew")

    @property
    def _count(self) -> int:
        """Tokens chosen since they were asked for."""
        return int(self._desk.state[0, filtering.CHOSEN])

    def found(self) -> list[tuple[int, float] | None]:
        """The tokens that were chosen since they were asked for, with their log-probabilities.

        None instead of one where the logits hold NaN or plus infinity, or none is finite.
        """
        return [self._desk.found(0, place) for place in range(self._count)]

    def choose(
        self, logits: Float32, wish: Wish = GREATEST, allowed: Float32 | None = None
    ) -> tuple[int, float] | None:
        """A token with its log-probability.

        Args:
            logits: [size], the model's.
            allowed: [size], those to choose from, where something changed them; the mask is added to them.

        Returns:
            None if any of those to choose from is NaN or plus infinity, or none is finite.
        """
        x = self._checked(logits)
        source = x if allowed is None else self._checked(allowed)
        masked = wish.mask is not None
        self._desk.ask(0, wish.cut, [wish.number], changed=allowed is not None, masked=masked)
        self._replay(self._desk, 1, source, x, wish.mask)
        return self._desk.found(0, 0)

    def choose_all(self, logits: Float32, wishes: Sequence[Wish]) -> list[tuple[int, float] | None]:
        """A token for each of several texts, chosen side by side as `choose` does it.

        Args:
            logits: [texts, size], the model's.
            wishes: for each text how it is to be chosen.
        """
        if self._side_by_side is None:
            self._side_by_side = Desk(self.size, TEXTS, 1)
        desk, chosen = self._side_by_side, []
        for first in range(0, len(wishes), TEXTS):
            some = wishes[first : first + TEXTS]
            for text, wish in enumerate(some):
                desk.ask(text, wish.cut, [wish.number], masked=wish.mask is not None)
            rows = logits[first : first + len(some)]
            self._replay(desk, len(some), rows, rows, stacked([wish.mask for wish in some]))
            chosen += [desk.found(text, 0) for text in range(len(some))]
        return chosen

    def behind(self, logits: Float32, ids: Int32, positions: Int32, tiles: Int64) -> Plan:
        """A plan that chooses the next token behind a pass over one row, and makes it the next pass's row.

        Args:
            logits: [1, size], written by the pass; ids, positions: [1]; tiles: [1, TILE], see `runtime.batch`.
        """
        if self._behind is None or self._behind[0] is not logits:
            row: Row = ids, positions, tiles.reshape(-1)[POSITION:]
            self._behind = logits, self._written(list(self._desk.launches(logits, logits, row, 1)))
        if self._mask is not None:
            self._behind[1].point(self._desk.masks, self._mask)
        return self._behind[1]

    def leading(self, logits: Float32, count: int) -> list[int]:
        """Ids of the `count` greatest of logits [size], best first, equal ones by id; minus infinity is left out."""
        if count <= 0:
            return []
        x = self._checked(logits)
        found = self._run(candidates.leading, (x, self.size, min(count, self.size), *self._leading_memory))
        ids: list[int] = self._desk.ids[0, :found].tolist()
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
        if self.executor.as_python:
            return int(kernel.specialise()(*arguments, begin=0, end=tasks) or 0)
        loaded = self._loaded.get(kernel)
        if loaded is None:
            loaded = self._loaded[kernel] = kernel.specialise().load(self.executor.target)
        return loaded.entry(loaded.pack(arguments), 0, tasks)
