"""Keys and values of the tokens that sequences have so far, in pages of one pool (PagedAttention, Kwon et al. 2023)."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.kernels.pages import KEYS
from glassformer.runtime.memory import aligned
from glassformer.simd.types import Value, byte_size, f16, f32, i8

BLOCK_TOKENS = KEYS  # that a block holds
CACHE_KINDS: dict[str, type[Value]] = {"f32": f32, "f16": f16, "q8": i8}


class CacheError(GlassformerError):
    """A cache that cannot be made, or asked to hold more tokens than it has room for."""


@dataclass(frozen=True)
class Layout:
    """Where a position's keys and values lie; strides in bytes. `kind` is one of CACHE_KINDS."""

    n_layer: int
    n_head: int
    head_dim: int
    kind: str = "f32"

    def __post_init__(self) -> None:
        if min(self.n_layer, self.n_head, self.head_dim) < 1:
            raise CacheError(f"no cache has {self.n_layer} layers of {self.n_head} heads x {self.head_dim}")
        if self.kind not in CACHE_KINDS:
            raise CacheError(f"cache_dtype {self.kind!r} is unknown; choose from {', '.join(CACHE_KINDS)}")

    @property
    def padded(self) -> int:
        """head_dim in whole vectors."""
        return -(-self.head_dim // 16) * 16

    @property
    def quantized(self) -> bool:
        """Whether keys and values are codes with scales."""
        return self.kind == "q8"

    @property
    def chunk_stride(self) -> int:
        """One head of one layer in a block: keys, values, scales."""
        scales = 2 * KEYS * byte_size(f16) if self.quantized else 0
        return KEYS * (self.head_dim + self.padded) * byte_size(CACHE_KINDS[self.kind]) + scales

    @property
    def layer_stride(self) -> int:
        """One layer in a block."""
        return self.n_head * self.chunk_stride

    @property
    def block_stride(self) -> int:
        """KEYS positions of all layers."""
        return self.n_layer * self.layer_stride


class Spare:
    """Memory of the latest pool that ended, for the next one: pages that were never written take long to come by."""

    LARGEST = 64 << 20  # bytes that are kept

    def __init__(self) -> None:
        self.held: list[npt.NDArray[np.uint8]] = []

    def take(self, size: int) -> npt.NDArray[np.uint8] | None:
        """So many bytes, with anything in them, if there are."""
        if self.held and self.held[-1].size >= size:
            return self.held.pop()
        return None

    def give(self, memory: npt.NDArray[np.uint8]) -> None:
        """Keep a pool's memory, unless it is large or there is a larger one."""
        if memory.size <= self.LARGEST and (not self.held or self.held[-1].size < memory.size):
            self.held[:] = [memory]


class KVPool:
    """Memory for a number of blocks, which sequences take and give back; pages of it are real once they are written.

    spare: where the memory may come from, and goes to when the pool is no longer used.
    """

    def __init__(self, layout: Layout, blocks: int, spare: Spare | None = None) -> None:
        self.layout, self.blocks = layout, blocks
        size = blocks * layout.block_stride
        found = spare.take(size) if spare else None
        try:
            self.memory: npt.NDArray[np.uint8] = aligned(size, np.uint8, huge=False) if found is None else found
        except (MemoryError, ValueError):
            raise CacheError(
                f"no memory for a cache of {blocks * KEYS} tokens ({size / 1e9:.1f} GB): ask for a shorter context"
            ) from None
        if spare:
            weakref.finalize(self, spare.give, self.memory).atexit = False
        self.free = list(range(blocks - 1, -1, -1))
        self.holders = [0] * blocks  # of each block: who has equal beginnings holds the same blocks

    def take(self) -> int:
        """A block that nobody uses."""
        if not self.free:
            raise CacheError(f"all {self.blocks} blocks of the cache are taken; end a sequence, or make a larger pool")
        block = self.free.pop()
        self.holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """Hold a block that somebody holds already."""
        self.holders[block] += 1

    def give(self, blocks: Sequence[int]) -> None:
        """Hold these blocks no longer; those that nobody holds are free."""
        for block in blocks:
            self.holders[block] -= 1
            if self.holders[block] == 0:
                self.free.append(block)


class KVCache:
    """One sequence's keys and values: a table of blocks in a pool.

    `length` tokens are held, `limit` may be. A cache takes blocks as it grows and gives them back when it is closed or
    no longer used. `prompt_length`: see `glassformer.generation.network.Cache`.
    """

    def __init__(self, pool: KVPool, limit: int) -> None:
        if limit < 0:
            raise CacheError(f"no cache holds {limit} tokens")
        self.pool, self.limit, self.length = pool, limit, 0
        self.prompt_length: int | None = None
        self.table: list[int] = []
        self.close = weakref.finalize(self, give_back, pool, self.table)

    @classmethod
    def alone(cls, layout: Layout, limit: int, spare: Spare | None = None) -> KVCache:
        """A cache with a pool of its own, of exactly the blocks that it needs."""
        return cls(KVPool(layout, blocks_of(max(limit, 0)), spare), limit)

    @property
    def layout(self) -> Layout:
        """Where positions lie in a block."""
        return self.pool.layout

    @property
    def capacity(self) -> int:
        """Tokens that may be held."""
        return self.limit

    @property
    def nbytes(self) -> int:
        """Bytes of the blocks that `limit` tokens need."""
        return blocks_of(self.limit) * self.layout.block_stride

    def check_room(self, tokens: int) -> None:
        """Refuse tokens that do not fit."""
        if self.length + tokens > self.limit:
            raise CacheError(
                f"the cache holds {self.length} of {self.limit} tokens; {tokens} more do not fit: make a larger one"
            )

    def reserve(self, tokens: int) -> None:
        """Take the blocks that so many more tokens need."""
        self.check_room(tokens)
        place = self.length // KEYS
        if tokens and place < len(self.table) and self.pool.holders[self.table[place]] > 1:
            raise CacheError(f"position {self.length} lies in a block that others hold too; it cannot be written again")
        while len(self.table) * KEYS < self.length + tokens:
            self.table.append(self.pool.take())

    def adopt(self, block: int) -> None:
        """Hold the next KEYS tokens as somebody else computed them, in a full block that is never written again.

        The block takes the place of one that was reserved. They must be the tokens that would have been read.
        """
        place, rest = divmod(self.length, KEYS)
        if rest:
            raise CacheError(f"a cache of {self.length} tokens cannot go on with a block, which holds {KEYS}")
        self.check_room(KEYS)
        self.pool.share(block)
        self.pool.give(self.table[place : place + 1])
        self.table[place : place + 1] = [block]
        self.length += KEYS

    def advance(self, tokens: int) -> None:
        """Count tokens that all layers have appended."""
        self.length += tokens

    def truncate(self, length: int) -> None:
        """Forget the tokens from a position on."""
        if not 0 <= length <= self.length:
            raise CacheError(f"cannot cut a cache of {self.length} tokens to {length}")
        self.length = length
        if length == 0:
            self.prompt_length = None


def blocks_of(tokens: int) -> int:
    """Blocks that hold so many tokens."""
    return -(-tokens // KEYS)


def give_back(pool: KVPool, table: list[int]) -> None:
    """Return a sequence's blocks to its pool."""
    pool.give(table)
    table.clear()


def shared_caches(layout: Layout, limits: Sequence[int], spare: Spare | None = None) -> list[KVCache]:
    """Caches over one pool that has room for all of them."""
    pool = KVPool(layout, sum(blocks_of(limit) for limit in limits), spare)
    return [KVCache(pool, limit) for limit in limits]
