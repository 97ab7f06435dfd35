"""The keys and values of the running requests: a cache for each, over one pool of a fixed number of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from glassformer.generation.prefix_cache import Key, PrefixCache, chain
from glassformer.generation.scheduler import Request
from glassformer.generation.serving_errors import TooLongError
from glassformer.runtime.kv_cache import BLOCK_TOKENS, KVCache, KVPool, blocks_of


@dataclass(eq=False)
class Held:
    """What a running request holds; `kept`: how many of its blocks the prefix cache was told of."""

    cache: KVCache
    keys: list[Key] = field(default_factory=list)
    kept: int = 0


class SequenceMemory:
    """What the scheduler asks for memory.

    prefixes: remembers blocks for those that begin alike; None: every request reads all its tokens itself.
    """

    def __init__(self, pool: KVPool, prefixes: PrefixCache | None) -> None:
        self.pool, self.prefixes = pool, prefixes
        self.asked_tokens, self.known_tokens = 0, 0  # of those that were admitted; the known ones were not read again
        self._held: dict[Request, Held] = {}

    def cache(self, request: Request) -> KVCache:
        """A running request's cache."""
        return self._held[request].cache

    def check_fits(self, request: Request) -> None:
        """Refuse a request that could never run.

        Raises:
            TooLongError: with the size of the memory and the room that it needs.
        """
        if blocks_of(request.capacity) > self.pool.blocks:
            raise TooLongError(
                f"prompt and continuation may come to {request.capacity} tokens, and the memory for keys and values "
                f"holds {self.pool.blocks * BLOCK_TOKENS}; ask for fewer new tokens, or serve with a larger cache"
            )

    def admit(self, request: Request, spare: int) -> bool:
        """Take blocks for all its ids, if as many as `spare` are left behind them."""
        keys = self._chain(request)
        known = [] if self.prefixes is None else self.prefixes.find(keys[: self._sharable(request)])
        missing = blocks_of(len(request.ids)) - len(known)
        if not self._has(missing + spare, besides=known):
            return False
        cache = KVCache(self.pool, request.capacity)
        cache.prompt_length = request.prompt_length
        for block in known:
            cache.adopt(block)
        self._make_room(missing)
        cache.reserve(len(request.ids) - cache.length)
        request.read = cache.length
        self._held[request] = Held(cache, keys, kept=len(known))
        self.asked_tokens += len(request.ids)
        self.known_tokens += cache.length
        return True

    def extend(self, request: Request, tokens: int) -> bool:
        """Take the blocks that so many tokens more than were read need, if there are."""
        cache = self.cache(request)
        if not self._make_room(blocks_of(cache.length + tokens) - len(cache.table)):
            return False
        cache.reserve(tokens)
        return True

    def join(self, request: Request) -> None:
        """Go on behind tokens that another request has read in the meantime."""
        held = self._held[request]
        if self.prefixes is None or held.cache.length % BLOCK_TOKENS:
            return
        for key in held.keys[held.cache.length // BLOCK_TOKENS : self._sharable(request)]:
            block = self.prefixes.get(key)
            if block is None:
                break
            held.cache.adopt(block)
            held.kept += 1
            self.known_tokens += BLOCK_TOKENS
        request.read = held.cache.length

    def claims(self, request: Request, tokens: int) -> Sequence[Key]:
        """Names of the blocks that become full when so many more tokens are read."""
        if self.prefixes is None or request.read % BLOCK_TOKENS:
            return ()
        return self._held[request].keys[request.read // BLOCK_TOKENS : (request.read + tokens) // BLOCK_TOKENS]

    def keep(self, request: Request) -> None:
        """Let those that begin alike know the blocks that are full now. The request's `read` becomes what was read."""
        held = self._held[request]
        request.read = held.cache.length
        if self.prefixes is None or held.cache.length // BLOCK_TOKENS == held.kept:
            return
        held.keys = chain(request.ids, held.keys)
        for place in range(held.kept, held.cache.length // BLOCK_TOKENS):
            self.prefixes.keep(held.keys[place], held.cache.table[place])
        held.kept = held.cache.length // BLOCK_TOKENS

    def release(self, request: Request) -> None:
        """Give its blocks back; what the prefix cache knows stays there while there is room."""
        held = self._held.pop(request)
        if self.prefixes is not None:
            self.prefixes.touch(held.keys[: held.kept])
        held.cache.close()

    def _chain(self, request: Request) -> list[Key]:
        return [] if self.prefixes is None else chain(request.ids)

    def _sharable(self, request: Request) -> int:
        """Full blocks that may come from others: the last token is always read, for its logits."""
        return (len(request.ids) - 1) // BLOCK_TOKENS

    def _has(self, blocks: int, besides: Sequence[int]) -> bool:
        """Whether so many blocks are free, or idle and not among those that are about to be held."""
        free = len(self.pool.free)
        if blocks <= free or self.prefixes is None:
            return blocks <= free
        return blocks <= free + self.prefixes.idle() - sum(self.pool.holders[block] == 1 for block in besides)

    def _make_room(self, blocks: int) -> bool:
        """See that so many blocks are free; whether they are."""
        if self.prefixes is None:
            return blocks <= len(self.pool.free)
        return self.prefixes.make_room(blocks)
