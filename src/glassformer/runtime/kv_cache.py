"""Keys and values of the tokens that a sequence has so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.kernels.attention import KEYS

Float32 = npt.NDArray[np.float32]


class CacheError(GlassformerError):
    """A cache asked to hold more tokens than it was made for."""


@dataclass(eq=False)
class KVCache:
    """One sequence's cache.

    keys: per layer [n_head, blocks of 16 positions, head_dim, 16] f32; values: per layer [n_head, capacity, padded
    head_dim]. The capacity is rounded up to whole blocks of the attention kernel; `limit` is what was asked for.
    `counter` holds the length where kernels read it. `plan` is the network's recorded step for these buffers, once
    there is one.
    """

    n_layer: int
    n_head: int
    head_dim: int
    limit: int
    counter: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    plan: Any = None
    keys: list[Float32] = field(default_factory=list)
    values: list[Float32] = field(default_factory=list)

    def __post_init__(self) -> None:
        if min(self.n_layer, self.n_head, self.head_dim) < 1 or self.limit < 0:
            raise CacheError(
                f"no cache has {self.n_layer} layers of {self.n_head} heads x {self.head_dim} for {self.limit} tokens"
            )
        self.capacity = -(-self.limit // KEYS) * KEYS
        self.padded = -(-self.head_dim // 16) * 16
        try:
            for _ in range(self.n_layer):
                # Zeros, not garbage: what lies behind the last position is multiplied by zero, and 0 * NaN is NaN.
                self.keys.append(np.zeros((self.n_head, self.capacity // 16, self.head_dim, 16), np.float32))
                self.values.append(np.zeros((self.n_head, self.capacity, self.padded), np.float32))
        except (MemoryError, ValueError):
            size = 4 * self.n_layer * self.n_head * self.capacity * (self.head_dim + self.padded) / 1e9
            raise CacheError(
                f"no memory for a cache of {self.limit} tokens ({size:.1f} GB): ask for a shorter context"
            ) from None

    @property
    def length(self) -> int:
        """Tokens held."""
        return int(self.counter[0])

    @property
    def nbytes(self) -> int:
        """Bytes of all layers."""
        return sum(array.nbytes for array in (*self.keys, *self.values))

    def advance(self, tokens: int) -> None:
        """Count tokens that all layers have appended."""
        self.counter[0] += tokens

    def check_room(self, tokens: int) -> None:
        """Refuse tokens that do not fit."""
        if self.length + tokens > self.limit:
            raise CacheError(
                f"the cache holds {self.length} of {self.limit} tokens; {tokens} more do not fit: make a larger one"
            )

    def truncate(self, length: int) -> None:
        """Forget the tokens from a position on."""
        if not 0 <= length <= self.length:
            raise CacheError(f"cannot cut a cache of {self.length} tokens to {length}")
        self.counter[0] = length
