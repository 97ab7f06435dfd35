"""Stores past the caches write what stores write."""

import numpy as np
import pytest

from glassformer.runtime.memory import aligned
from glassformer.simd import Pointer, f32, f32x16, i64, kernel, load, stream
from glassformer.simd.target import find_target, runnable_targets


@kernel
def copied(x: Pointer[f32], out: Pointer[f32], size: i64) -> None:
    """out = x;  both [size], a multiple of 16."""
    for i in range(0, size, 16):
        stream(out + i, load(x + i, f32x16))


@pytest.mark.parametrize("target", runnable_targets())
def test_it_writes_what_it_is_given(target: str) -> None:
    x, out = np.arange(1, 4097, dtype=np.float32), aligned(4097, np.float32)
    loaded = copied.specialise().load(find_target(target))
    loaded.entry(loaded.pack([x, out, len(x)]), 0, 0)
    assert np.array_equal(out[:-1], x)
    assert out[-1] == 0


@pytest.mark.parametrize("target", ["avx2", "avx512"])
def test_it_goes_past_the_caches(target: str) -> None:
    assert "vmovntps" in copied.assembly(target)
