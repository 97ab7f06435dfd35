"""Blocks that are known by the tokens up to their end."""

import gc

import numpy as np
import pytest

from glassformer.generation.prefix_cache import PrefixCache, chain
from glassformer.runtime.kv_cache import BLOCK_TOKENS, CacheError, KVCache, KVPool, Layout


@pytest.fixture
def pool() -> KVPool:
    return KVPool(Layout(1, 1, 16), 6)


def filled(pool: KVPool, blocks: int) -> KVCache:
    """A cache of full blocks."""
    cache = KVCache(pool, 6 * BLOCK_TOKENS)
    cache.reserve(blocks * BLOCK_TOKENS)
    cache.advance(blocks * BLOCK_TOKENS)
    return cache


def known(cache: KVCache, limit: int = 6, first: int = 0) -> tuple[PrefixCache, list[bytes]]:
    """A prefix cache that knows all of a cache's blocks."""
    prefixes = PrefixCache(cache.pool, limit)
    keys = chain(range(first, first + cache.length))
    for key, block in zip(keys, cache.table, strict=True):
        prefixes.keep(key, block)
    return prefixes, keys


def test_a_name_stands_for_all_tokens_up_to_the_end_of_the_block() -> None:
    ids = list(range(300))
    keys = chain(ids)
    assert len(keys) == 4, "full blocks only"
    assert chain(ids[:128]) == keys[:2]
    assert chain(ids, keys[:3]) == keys
    assert chain([9, *ids[1:]])[1:] != keys[1:], "an early token changes all later names"
    assert len({*keys, *chain([9, *ids[1:]])}) == 8
    assert chain(np.arange(300).tolist()) == keys
    assert chain([7] * 128)[0] != chain([7] * 128)[1], "equal tokens at another place are another block"
    assert chain([256] * 64) != chain([1] * 64)


def test_blocks_outlive_the_sequence_that_wrote_them(pool: KVPool) -> None:
    cache = filled(pool, 3)
    prefixes, keys = known(cache)
    table = list(cache.table)
    assert prefixes.idle() == 0
    cache.close()
    assert (prefixes.idle(), len(pool.free)) == (3, 3)
    assert prefixes.find(keys) == table
    assert prefixes.find([keys[0], b"other", keys[2]]) == table[:1]
    assert prefixes.find([]) == []
    prefixes.clear()
    assert sorted(pool.free) == list(range(6))


def test_what_somebody_holds_stays_and_first_blocks_stay_longest(pool: KVPool) -> None:
    cache = filled(pool, 4)
    prefixes, keys = known(cache)
    table = list(cache.table)
    reader = KVCache(pool, 6 * BLOCK_TOKENS)
    reader.adopt(table[0])
    prefixes.touch(keys)
    cache.close()
    assert not prefixes.make_room(6), "one is held"
    assert len(prefixes) == 4, "what would not suffice is not given up"
    assert prefixes.make_room(3)
    assert prefixes.find(keys) == table[:3], "the last block went first"
    assert prefixes.make_room(5)
    assert prefixes.find(keys) == table[:1]
    reader.close()
    assert prefixes.make_room(6)
    assert len(prefixes) == 0


def test_the_latest_used_text_stays(pool: KVPool) -> None:
    prefixes = PrefixCache(pool, 4)
    names: dict[int, list[bytes]] = {}
    for first in (0, 1000):
        cache = filled(pool, 2)
        names[first] = chain(range(first, first + cache.length))
        for key, block in zip(names[first], cache.table, strict=True):
            prefixes.keep(key, block)
        cache.close()
    prefixes.touch(names[0])
    assert prefixes.make_room(4)
    assert len(prefixes.find(names[0])) == 2
    assert prefixes.find(names[1000]) == []


def test_no_more_blocks_are_kept_than_the_cap(pool: KVPool) -> None:
    cache = filled(pool, 3)
    prefixes, keys = known(cache, limit=2)
    assert len(prefixes.find(keys)) == 2, "held ones do not give way"
    cache.close()
    other = filled(pool, 1)
    key = chain(range(500, 564))
    prefixes.keep(key[0], other.table[0])
    assert len(prefixes) == 2
    assert prefixes.find(key) == other.table
    prefixes.keep(key[0], 5)
    assert prefixes.find(key) == other.table, "of two with the same tokens the first is kept"


def test_a_shared_block_is_adopted_in_place_of_a_reserved_one_and_never_written(pool: KVPool) -> None:
    cache = filled(pool, 2)
    reader = KVCache(pool, 200)
    reader.reserve(200)
    assert pool.free == []
    reader.adopt(cache.table[0])
    assert (reader.length, len(pool.free), len(reader.table)) == (64, 1, 4)
    reader.reserve(136)
    cache.truncate(10)
    with pytest.raises(CacheError, match="position 10 lies in a block that others hold too"):
        cache.reserve(1)
    reader.advance(5)
    with pytest.raises(CacheError, match="69 tokens cannot go on with a block"):
        reader.adopt(cache.table[1])
    with pytest.raises(CacheError, match="do not fit"):
        KVCache(pool, 63).adopt(cache.table[0])
    reader.close()
    cache.reserve(1)
    del cache
    gc.collect()
    assert sorted(pool.free) == list(range(6))
    assert pool.holders == [0] * 6
