"""f16 and bf16: all 65,536 patterns each way, native and generic lowerings alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_source import import_text

from glassformer.simd import Kernel
from glassformer.simd.target import TARGETS, runnable_targets

Array = npt.NDArray[Any]
PATTERNS = np.arange(65536, dtype=np.uint16)
TEXT = """
@kernel
def widen(x: Pointer[{t}], out: Pointer[f32], n: i64) -> None:
    for i in range(0, n, 16):
        store(out + i, f32x16(load(x + i, {t}x16)))


@kernel
def narrow(x: Pointer[f32], out: Pointer[{t}], n: i64) -> None:
    for i in range(0, n, 16):
        store(out + i, {t}x16(load(x + i, f32x16)))


@kernel
def narrow_one(x: Pointer[f32], out: Pointer[{t}], n: i64) -> None:
    for i in range(n):
        out[i] = {t}(f32({t}(x[i])))
"""


def exact_bf16(bits: Array) -> Array:
    """bf16 patterns as f32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def nearest_bf16(x: Array) -> Array:
    """f32 to bf16 by looking for the nearer neighbour in float64, ties to the even pattern."""
    below = (x.view(np.uint32) >> 16).astype(np.uint16)
    above = (below + 1).astype(np.uint16)
    with np.errstate(invalid="ignore"):  # a neighbour of infinity is a NaN
        low, high = (exact_bf16(b).astype(np.float64) for b in (below, above))
    high = np.where(np.isinf(high), np.copysign(2.0**128, high), high)
    exact = x.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity itself is asked for elsewhere
        nearer_up = np.abs(high - exact) < np.abs(exact - low)
        tie = np.abs(high - exact) == np.abs(exact - low)
    return np.where(nearer_up | (tie & (below % 2 == 1)), above, below)


def around(values: Array) -> Array:
    """f32 numbers at, between and next to the finite values of a 16-bit type."""
    finite = np.unique(values[np.isfinite(values)])
    middle = ((finite[1:].astype(np.float64) + finite[:-1]) / 2).astype(np.float32)
    with np.errstate(over="ignore"):
        beside = [np.nextafter(v, np.float32(s * np.inf)) for v in (middle, finite) for s in (1, -1)]
        top = np.float32([finite[-1], finite[-1] * 1.0002, finite[-1] * 1.0005, 3.4e38, np.inf])
    out = np.concatenate([finite, middle, *beside, top, -top]).astype(np.float32)
    return np.concatenate([out, np.zeros(-len(out) % 16, np.float32)])


@pytest.fixture(scope="module", params=["f16", "bf16"])
def converters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    return request.param, import_text(tmp_path_factory.mktemp("kernels"), TEXT.format(t=request.param))


def run(kernel: Kernel, target: str, x: Array, out: Array) -> Array:
    kernel.specialise()(x, out, len(x), target=TARGETS[target])
    return out


@pytest.mark.parametrize("target", runnable_targets())
def test_every_pattern_widens_exactly(converters: tuple[str, Any], target: str) -> None:
    name, module = converters
    data = PATTERNS.view(np.float16) if name == "f16" else PATTERNS
    found = run(module.widen, target, data, np.zeros(65536, np.float32))
    want = PATTERNS.view(np.float16).astype(np.float32) if name == "f16" else exact_bf16(PATTERNS)
    nan = np.isnan(want)
    assert np.array_equal(np.isnan(found), nan)
    assert np.array_equal(found.view(np.uint32)[~nan], want.view(np.uint32)[~nan])


@pytest.mark.parametrize("target", runnable_targets())
def test_narrowing_rounds_to_nearest_even(converters: tuple[str, Any], target: str) -> None:
    name, module = converters
    with np.errstate(invalid="ignore"):
        values = PATTERNS.view(np.float16).astype(np.float32) if name == "f16" else exact_bf16(PATTERNS)
    x = around(values)
    found = run(module.narrow, target, x, np.zeros(len(x), np.uint16))
    with np.errstate(over="ignore"):
        want = x.astype(np.float16).view(np.uint16) if name == "f16" else nearest_bf16(x)
    if name == "bf16":
        want = np.where(np.isinf(x), (x.view(np.uint32) >> 16).astype(np.uint16), want)
    assert np.array_equal(found, want), x[found != want][:5]
    one = run(module.narrow_one, target, x[:4096], np.zeros(4096, np.uint16))
    assert np.array_equal(one, want[:4096])


@pytest.mark.parametrize("target", runnable_targets())
def test_a_nan_stays_a_nan(converters: tuple[str, Any], target: str) -> None:
    name, module = converters
    x = np.array(
        [0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FFFFFFF, 0xFF800001, 0x7FA00000, 0xFFFFFFFF, 0x7F801000] * 2, np.uint32
    )
    found = run(module.narrow, target, x.view(np.float32), np.zeros(16, np.uint16))
    back = exact_bf16(found) if name == "bf16" else found.view(np.float16).astype(np.float32)
    assert np.isnan(back).all()
    assert np.array_equal(np.signbit(back), x >> 31 == 1)
