"""fma rounds once: with the instruction, by way of odd rounding without it, and in the reference."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_source import import_text

from glassformer.simd import f32, fma
from glassformer.simd.ops_fma import exact_fma, fma_reference
from glassformer.simd.target import TARGETS, runnable_targets

Array = npt.NDArray[Any]
TEXT = """
@kernel
def work(x: Pointer[{t}], y: Pointer[{t}], z: Pointer[{t}], out: Pointer[{t}], n: i64) -> None:
    for i in range(0, n, 8):
        store(out + i, fma(load(x + i, {t}x8), load(y + i, {t}x8), load(z + i, {t}x8)))
    for i in range(0, n, 5):
        out[i] = fma(x[i], y[i], z[i])
"""


def hard_cases(dtype: Any, size: int) -> list[Array]:
    """Products that a sum cancels, ties, subnormal results, and numbers of all sizes."""
    rng = np.random.default_rng(7)
    info = np.finfo(dtype)
    bits = np.uint32 if dtype is np.float32 else np.uint64
    x, y, z = (rng.integers(0, np.iinfo(bits).max, size, bits).view(dtype) for _ in range(3))
    near = rng.uniform(1, 2, (2, size)).astype(dtype)
    with np.errstate(all="ignore"):
        q = size // 4
        x[:q], y[:q] = near[0, :q], near[1, :q]
        z[:q] = -(x[:q] * y[:q]) * rng.choice([1, 1 + info.eps, 1 - info.eps], q).astype(dtype)
        x[q : 2 * q], y[q : 2 * q] = 1 + info.eps * rng.integers(0, 8, (2, q))  # products just beside ties
        z[q : 2 * q] = rng.choice([0.5, -0.5, 1, info.eps, info.smallest_subnormal, -info.smallest_subnormal], q)
        x[2 * q : 3 * q] = near[0, :q] * info.smallest_normal
        y[2 * q : 3 * q] = rng.choice([0.5, 1.5, 0.25, 2.0**-20], q)
        z[2 * q : 3 * q] = info.smallest_subnormal * rng.integers(-3, 4, q)
    x[:4], y[:4], z[:4] = info.max, info.max, [-np.inf, info.max, -info.max, np.nan]
    return [x, y, z]


def rounded_once(x: float, y: float, z: float, dtype: Any) -> Any:
    """The exact result rounded to f32 through integers, so not by the method under test."""
    if not all(map(math.isfinite, (x, y, z))):
        return dtype(exact_fma(x, y, z))
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if exact == 0:
        return dtype(x * y + z)
    size = abs(exact)
    exponent = max(math.floor(math.log2(size)) if size < 2**1000 else 200, -126)
    while size >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while exponent > -126 and size < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** (exponent - 23)
    whole = round(size / step) * step  # Python rounds ties of a Fraction to even
    with np.errstate(over="ignore"):
        return dtype(math.copysign(float(whole), exact))


def same(a: Array, b: Array) -> bool:
    bits = f"u{a.dtype.itemsize}"
    return bool(((a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))).all())


@pytest.mark.parametrize("name", ["f32", "f64"])
def test_all_targets_and_the_reference_agree(name: str, tmp_path: Path) -> None:
    dtype = np.float32 if name == "f32" else np.float64
    x, y, z = hard_cases(dtype, 20_000 if name == "f32" else 2_000)
    from glassformer.simd import types

    want = np.asarray(fma_reference(getattr(types, name), x, y, z), dtype)
    work = import_text(tmp_path, TEXT.format(t=name)).work.specialise()
    for target in runnable_targets():
        out = np.zeros_like(want)
        work(x, y, z, out, len(x), target=TARGETS[target])
        assert same(want, out), target


def test_the_reference_of_f32_is_the_exact_result_rounded_once() -> None:
    x, y, z = hard_cases(np.float32, 4_000)
    found = fma_reference(f32, x, y, z)
    want = np.array([rounded_once(*map(float, v), np.float32) for v in zip(x, y, z, strict=True)])
    assert same(want, found)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="math.fma came with Python 3.13")
def test_the_reference_of_f64_is_that_of_python() -> None:
    for x, y, z in zip(*hard_cases(np.float64, 2_000), strict=True):
        try:
            want = math.fma(x, y, z)  # type: ignore[attr-defined,unused-ignore]
        except (OverflowError, ValueError):
            continue
        assert same(np.float64([want]), np.float64([exact_fma(x, y, z)]))


def test_rounding_twice_would_be_told_apart() -> None:
    x = y = np.float32(1 + 2.0**-12)
    z = np.float32(2.0**-80)  # moves the sum off a tie of f32, but is lost in f64
    product = np.float64(x) * np.float64(y)
    assert np.float32(product + np.float64(z)) != rounded_once(float(x), float(y), float(z), np.float32)
    assert float(fma(f32(float(x)), f32(float(y)), f32(float(z)))) == rounded_once(
        float(x), float(y), float(z), np.float32
    )
