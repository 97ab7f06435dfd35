"""Tokens out of logits, compiled: the greatest, one drawn at random, the most probable ones, log-probabilities.

`glassformer.kernels.sampling` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.kernels import candidates, filtering, sampling
from glassformer.kernels.attention import POSITION
from glassformer.runtime.arrays import Float32, ShapeError, as_float32
from glassformer.runtime.desk import Cut, Desk, Row, Wish, Workspace
from glassformer.runtime.executor import Eager
from glassformer.runtime.plan import Plan
from glassformer.runtime.side_by_side import SideBySide, plan_of, planned, point
from glassformer.simd.kernel import Kernel, Loaded, address_of

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

MOST = 16  # tokens that are chosen without coming back to Python
GREATEST = Wish()


class Sampler:
    """The choices over a vocabulary of `size` tokens, with the memory that they work in: for one thread at a time.

    `executor` does the work on its threads; without one the calling thread does it.
    """

    def __init__(self, size: int, executor: Eager | None = None) -> None:
        self.size, self.executor = size, executor or Eager(1)
        self._desk = Desk(size, MOST, Workspace(size))
        self._mask: Float32 | None = None
        self._behind: tuple[Float32, Plan] | None = None
        self._loaded: dict[Kernel, Loaded] = {}
        at = self._desk.workspace
        self._leading = at.summits, at.desk[filtering.LOGS], at.desk[filtering.SPARE], at.ids, np.empty(3, np.int64)
        # Addresses are taken once: taking one costs as much as a pass over the logits.
        self._leading_memory = self._leading if self.executor.as_python else tuple(map(address_of, self._leading))

    @cached_property
    def _plan(self) -> Plan:
        """Chooses one token on all threads, out of whatever logits it is pointed to."""
        return plan_of(self.executor, self._desk)

    @cached_property
    def _side_by_side(self) -> SideBySide:
        return SideBySide(self.size, self.executor)

    def ask(self, cut: Cut | None, numbers: Sequence[float], mask: Float32 | None = None) -> None:
        """Say how the next tokens are to be chosen.

        Args:
            cut: what to draw from; None: the greatest logit is chosen, the lowest id of equal ones.
            numbers: a random number in [0, 1), a multiple of 2^-53, for each token; not looked at without a cut.
            mask: [size], added to the logits.
        """
        self._desk.ask(cut, numbers, masked=mask is not None)
        self._mask = mask

    def check_room(self, count: int) -> None:
        """Refuse to choose more tokens than there is room for since they were asked for."""
        room = MOST - self._count
        if not 0 < count <= room:
            raise ShapeError(f"{count} tokens in one go; this sampler has room for 1 to {room}: ask for fewer, or anew")

    @property
    def _count(self) -> int:
        """Tokens chosen since they were asked for."""
        return int(self._desk.state[filtering.CHOSEN])

    def found(self) -> list[tuple[int, float] | None]:
        """The tokens that were chosen since they were asked for, with their log-probabilities.

        None instead of one where the logits hold NaN or plus infinity, or none is finite.
        """
        return [self._desk.found(place) for place in range(self._count)]

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
        self._desk.ask(wish.cut, [wish.number], changed=allowed is not None, masked=wish.mask is not None)
        point(self._plan, self._desk, source, x, wish.mask)
        self._plan.replay_unseen()
        return self._desk.found(0)

    def choose_all(self, logits: Float32, wishes: Sequence[Wish]) -> list[tuple[int, float] | None]:
        """A token for each of several texts, as `choose` does it, each text by one thread.

        Args:
            logits: [texts, size], the model's.
            wishes: for each text how it is to be chosen.
        """
        if self.executor.as_python:
            return [self.choose(row, wish) for row, wish in zip(logits, wishes, strict=True)]
        return self._side_by_side.choose(logits, wishes)

    def behind(self, logits: Float32, ids: Int32, positions: Int32, tiles: Int64) -> Plan:
        """A plan that chooses the next token behind a pass over one row, and makes it the next pass's row.

        Args:
            logits: [1, size], written by the pass; ids, positions: [1]; tiles: [1, TILE], see `runtime.batch`.
        """
        if self._behind is None or self._behind[0] is not logits:
            row: Row = ids, positions, tiles.reshape(-1)[POSITION:]
            self._behind = logits, planned(self.executor, self._desk.launches(logits, logits, row))
        if self._mask is not None:
            self._behind[1].point(self._desk.mask, self._mask)
        return self._behind[1]

    def leading(self, logits: Float32, count: int) -> list[int]:
        """Ids of the `count` greatest of logits [size], best first, equal ones by id; minus infinity is left out."""
        if count <= 0:
            return []
        x = self._checked(logits)
        found = self._run(candidates.leading, (x, self.size, min(count, self.size), *self._leading_memory))
        ids: list[int] = self._desk.workspace.ids[:found].tolist()
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
