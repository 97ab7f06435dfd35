"""Tokens out of logits, compiled: the greatest, one drawn at random, the most probable ones, log-probabilities.

One thread does it all, in a few passes over the vocabulary; `glassformer.kernels.sampling` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassformer.kernels import sampling
from glassformer.runtime.arrays import Float32, ShapeError, as_float32
from glassformer.simd import reference
from glassformer.simd.kernel import Kernel, Loaded
from glassformer.simd.target import Target, find_target

SLACK = 64  # numbers behind the last one that kernels may write
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
        self._as_python = reference.wanted()
        self._loaded: dict[Kernel, Loaded] = {}
        drawing = (self._values, self._near, self._near_weights, self._spare, self._ids, self._found)
        leading = (self._values, self._near, self._spare, self._ids, self._found)
        # Addresses are taken once: taking one costs as much as a pass over the logits.
        self._draw_memory, self._leading_memory = (
            arrays if self._as_python else tuple(int(array.ctypes.data) for array in arrays)
            for arrays in (drawing, leading)
        )

    def greatest(self, logits: Float32) -> int | None:
        """Id of the greatest of logits [size], the lowest of equal ones.

        None if any is NaN or plus infinity, or none is finite.
        """
        token = self._run(sampling.greatest, (self._checked(logits), self.size))
        return None if token < 0 else token

    def draw(self, logits: Float32, cut: Cut, number: float) -> int | None:
        """The id that a random number in [0, 1), a multiple of 2^-53, draws from logits [size].

        None if any is NaN or plus infinity, or none is finite.
        """
        x = self._checked(logits)
        top_k = min(cut.top_k, self.size)
        asked = (cut.temperature, top_k, cut.top_p, cut.min_p, cut.typical_p, int(number * RANDOM_STEPS))
        token = self._run(sampling.draw, (x, self.size, *asked, *self._draw_memory))
        return None if token < 0 else token

    def leading(self, logits: Float32, count: int) -> list[int]:
        """Ids of the `count` greatest of logits [size], best first, equal ones by id; minus infinity is left out."""
        if count <= 0:
            return []
        x = self._checked(logits)
        found = self._run(sampling.leading, (x, self.size, min(count, self.size), *self._leading_memory))
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

    def _run(self, kernel: Kernel, arguments: tuple[Any, ...]) -> int:
        """The kernel's result."""
        if self._as_python:
            return int(kernel.specialise()(*arguments) or 0)
        loaded = self._loaded.get(kernel)
        if loaded is None:
            loaded = self._loaded[kernel] = kernel.specialise().load(self._target)
        return loaded.entry(loaded.pack(arguments), 0, 0)
