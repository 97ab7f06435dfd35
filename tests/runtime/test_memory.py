"""Memory of our own: where arrays begin, that they do not meet, and how long they live."""

import gc
import weakref
from itertools import pairwise

import numpy as np

from glassformer.runtime.memory import CHUNK, HUGE_PAGE, Arena, Scratch, aligned
from glassformer.simd.kernel import address_of


def test_arrays_of_an_arena_are_zero_begin_at_cache_lines_and_do_not_meet() -> None:
    arena = Arena()
    types = (np.uint8, np.float16, np.int64)
    arrays = [arena.aligned(size, dtype) for size in (1, 0, 63, 1000, 70_000) for dtype in types]
    for value, array in enumerate(arrays, start=1):
        assert address_of(array) % 64 == 0
        assert not array.any()
        array[:] = value
    assert [set(array.tolist()) for array in arrays if array.size] == [
        {value} for value, array in enumerate(arrays, start=1) if array.size
    ]


def test_arrays_of_an_arena_lie_side_by_side_in_huge_pages() -> None:
    arena = Arena()
    first, second = arena.aligned(600_000, np.float32), arena.aligned(10, np.float32)
    assert address_of(first) % HUGE_PAGE == 0
    assert address_of(second) - address_of(first) == first.nbytes


def test_large_arrays_leave_what_is_left_to_small_ones() -> None:
    arena = Arena()
    first, large, last = arena.aligned(64, np.uint8), arena.aligned(CHUNK, np.uint8), arena.aligned(64, np.uint8)
    assert address_of(last) == address_of(first) + 64
    assert len(large) == CHUNK
    several = [arena.aligned(CHUNK // 3, np.uint8) for _ in range(4)]
    assert address_of(several[-1]) - address_of(first) not in range(CHUNK)
    assert address_of(arena.aligned(64, np.uint8)) - address_of(first) in range(CHUNK)
    spans = sorted((address_of(each), address_of(each) + each.nbytes) for each in (first, large, last, *several))
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


def test_mappings_of_an_arena_go_with_their_last_array() -> None:
    arena = Arena()
    array = arena.aligned(1000, np.uint8)
    mapping = weakref.ref(array.base)
    del arena
    gc.collect()
    assert mapping() is not None
    del array
    gc.collect()
    assert mapping() is None


def test_scratch_grows_and_who_had_less_keeps_that() -> None:
    scratch = Scratch()
    small = scratch.room(100)
    small[:] = 7
    large = scratch.room(1000)
    assert len(large) >= 1000
    assert (small == 7).all()
    assert scratch.room(10) is large


def test_alignment_is_what_was_asked_for() -> None:
    for alignment in (64, 4096):
        assert address_of(aligned(10, np.int64, alignment)) % alignment == 0
