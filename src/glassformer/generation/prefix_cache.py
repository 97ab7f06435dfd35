"""Keys and values that are known already: full blocks of a pool, found by the tokens that they hold.

A block's keys and values depend on its tokens and all those before it, on their positions, and on the model. Blocks
stand at fixed positions, so a chain of hashes over the tokens names them: whoever begins with the same tokens holds the
same block, to the bit, as often as it is wanted (as in vLLM; Kwon et al. 2023, arXiv:2309.06180).
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from glassformer.runtime.kv_cache import BLOCK_TOKENS, KVPool

Key = bytes
ROOT: Key = b""


def chain(ids: Sequence[int], known: Sequence[Key] = ()) -> list[Key]:
    """Names of all full blocks of a text; `known`: those of its first blocks, which are not computed again."""
    keys = list(known)
    for place in range(len(keys), len(ids) // BLOCK_TOKENS):
        block = array("q", ids[place * BLOCK_TOKENS : (place + 1) * BLOCK_TOKENS])
        keys.append(blake2b(block.tobytes(), key=keys[-1] if keys else ROOT, digest_size=32).digest())
    return keys


class PrefixCache:
    """Full blocks of one model in one pool, the latest used ones kept.

    It holds each of its blocks as a sequence does. What nobody else holds gives way when the pool has no free block.

    limit: blocks that are kept at most.
    """

    def __init__(self, pool: KVPool, limit: int) -> None:
        self.pool, self.limit = pool, limit
        self._blocks: OrderedDict[Key, int] = OrderedDict()  # the one that was not used for longest comes first

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: Key) -> int | None:
        """The block of a name, if it is known."""
        return self._blocks.get(key)

    def find(self, keys: Sequence[Key]) -> list[int]:
        """The blocks that a text begins with, as far as they are known."""
        found: list[int] = []
        for key in keys:
            block = self._blocks.get(key)
            if block is None:
                break
            found.append(block)
        return found

    def keep(self, key: Key, block: int) -> None:
        """Hold a full block that will not be written again. Of two with the same tokens, the first is kept."""
        if key in self._blocks or (len(self) >= self.limit and not self._evict(len(self) - self.limit + 1)):
            return
        self.pool.share(block)
        self._blocks[key] = block

    def touch(self, keys: Sequence[Key]) -> None:
        """A text with these names was in use until now. Its last blocks will go before its first ones."""
        for key in reversed(keys):
            if key in self._blocks:
                self._blocks.move_to_end(key)

    def idle(self) -> int:
        """How many blocks nobody else holds."""
        return sum(self.pool.holders[block] == 1 for block in self._blocks.values())

    def make_room(self, blocks: int) -> bool:
        """See that so many blocks of the pool are free; whether they are."""
        missing = blocks - len(self.pool.free)
        return missing <= 0 or self._evict(missing)

    def clear(self) -> None:
        """Hold nothing any more."""
        self.pool.give(list(self._blocks.values()))
        self._blocks.clear()

    def _evict(self, count: int) -> bool:
        """Let go of so many blocks that nobody else holds, or of none where there are fewer."""
        idle: list[Key] = []
        for key, block in self._blocks.items():
            if self.pool.holders[block] == 1:
                idle.append(key)
                if len(idle) == count:
                    break
        if len(idle) < count:
            return False
        self.pool.give([self._blocks.pop(key) for key in idle])
        return True
