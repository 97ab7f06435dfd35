"""dot_bf16 on every level: by its definition on numbers where order, rounding and subnormals show."""

from typing import Any

import numpy as np
import pytest

from glassformer.simd import Pointer, bf16, cast, dot_bf16, f32, f32x16, i64, kernel, load, store, u16, vector
from glassformer.simd.ops_dot_bf16 import dot_bf16 as operation
from glassformer.simd.target import find_target, runnable_targets

EDGES = [
    0,
    0x8000,
    0x3F80,
    0xBF80,
    0x7F80,
    0xFF80,
    1,
    0x807F,
    0x80,
    0x8080,
    0x7F7F,
    0xFF7F,
    0x100,
    0x3F81,
    0x1F80,
    0x2000,
]
TOTALS = [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 2.0**-126, -(2.0**-126), 3e38, -3e38, 2.0**-125]


@kernel
def dots(total: Pointer[f32], x: Pointer[u16], y: Pointer[u16], count: i64) -> None:
    """total[i] += x[2i : 2i + 2] . y[2i : 2i + 2] for 16 * count places."""
    for i in range(0, count * 16, 16):
        p, q = load(cast(x, bf16) + 2 * i, vector(bf16, 32)), load(cast(y, bf16) + 2 * i, vector(bf16, 32))
        store(total + i, dot_bf16(load(total + i, f32x16), p, q))


def rounded(x: Any) -> Any:
    """float32 numbers as bf16 codes, cut off."""
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def cases() -> dict[str, tuple[Any, Any, Any]]:
    random = np.random.default_rng(4)
    spread = np.exp2(random.integers(-9, 10, (2, 4096)))
    x, y = (rounded(random.standard_normal(4096) * scale) for scale in spread)
    edges = (random.choice(np.array(EDGES, np.uint16), 4096) for _ in range(2))
    return {
        "ordinary": (np.float32(random.standard_normal(2048)), x, y),
        "edges": (random.choice(np.array(TOTALS, np.float32), 2048), *edges),
    }


@pytest.mark.parametrize("target", runnable_targets())
@pytest.mark.parametrize("name", ["ordinary", "edges"])
def test_every_level_is_the_definition(name: str, target: str) -> None:
    total, x, y = cases()[name]
    expected = operation.reference(f32x16, total, x, y)
    found = total.copy()
    dots.specialise()(found, x, y, 128, target=find_target(target))
    same = found.view(np.uint32) == expected.view(np.uint32)
    assert (same | (np.isnan(found) & np.isnan(expected))).all()


def test_the_definition() -> None:
    """The odd product first: 2^100 - 2^100 + 1 is 1, in the other order 0; and 2^-133 counts as 0."""
    one, big, small = 0x3F80, 0x7180, 1
    total = np.array([-(2.0**100), 0.0, 2.0**-130], np.float32)
    x, y = np.array([one, big, small, 0, 0, 0], np.uint16), np.array([one, one, big, 0, 0, 0], np.uint16)
    assert operation.reference(f32x16, total, x, y).tolist() == [1.0, 0.0, 0.0]
