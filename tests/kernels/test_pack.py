"""Packing and conversion between all weight types against NumPy, bit for bit."""

from typing import Any

import numpy as np
import pytest

from glassformer.errors import GlassformerError
from glassformer.kernels.matmul import BLOCK
from glassformer.runtime.executor import Eager
from glassformer.runtime.packed import (
    KINDS,
    STORED,
    WeightError,
    convert_array,
    held_kind,
    pack_matrix,
    pack_parts,
    stored_kind,
)
from glassformer.simd.target import runnable_targets
from glassformer.simd.types import bf16, f16, f32, f64

EXECUTOR = Eager(2)
SPECIAL = [0.0, -0.0, np.inf, -np.inf, 65504, 65519.99, 65520, -1e6, 3.4e38, 1e-45, 6e-8, 2.98e-8, 2.99e-8, 6.1e-5,
1 + 2**-8,
           1 + 3 * 2**-9, 1 + 2**-11, 1 + 3 * 2**-11, 1.0000001, 3.3895e38, 3.3961e38]  # fmt: skip


def as_bf16(x: Any) -> Any:
    """Codes of float32 values, rounded to nearest, ties to even."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(codes: Any) -> Any:
    return (codes.astype(np.uint32) << 16).view(np.float32)


def stored(x: Any, kind: Any) -> Any:
    """Float64 values as an array of a type, the way a file holds them."""
    with np.errstate(over="ignore"):
        return as_bf16(x) if kind is bf16 else np.asarray(x, {f16: np.float16, f32: np.float32, f64: np.float64}[kind])


def converted(array: Any, source: Any, target: Any) -> Any:
    """What NumPy makes of it, by way of float32."""
    with np.errstate(over="ignore"):
        single = from_bf16(array) if source is bf16 else array.astype(np.float32)
    return stored(single, target)


def numbers(*shape: int) -> Any:
    random = np.random.default_rng(shape)
    x = random.standard_normal(shape) * 10.0 ** random.integers(-9, 6, shape)
    x.reshape(-1)[: min(x.size, len(SPECIAL))] = SPECIAL[: x.size]
    return x


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", STORED)
def test_convert(source: str, target: str) -> None:
    for shape in ((0,), (1,), (17,), (4097,), (3, 5, 7)):
        array = stored(numbers(*shape), STORED[source])
        result = convert_array(EXECUTOR, array, STORED[source], KINDS[target])
        np.testing.assert_array_equal(result, converted(array, STORED[source], KINDS[target]), strict=True)


@pytest.mark.parametrize("level", runnable_targets())
@pytest.mark.parametrize("source", ["F16", "BF16"])
def test_every_code_of_16_bits_is_read_exactly_and_comes_back(source: str, level: str) -> None:
    executor, kind = Eager(1, level), STORED[source]
    codes = np.arange(65536, dtype=np.uint16)
    array = codes.view(np.float16) if kind is f16 else codes
    wide = convert_array(executor, array, kind, f32)
    expected = array.astype(np.float32) if kind is f16 else from_bf16(array)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(wide.view(np.uint32)[number], expected.view(np.uint32)[number])
    np.testing.assert_array_equal(np.isnan(wide), ~number)
    np.testing.assert_array_equal(convert_array(executor, wide, f32, kind).view(np.uint16)[number], codes[number])
    back = convert_array(executor, wide, f32, kind)[~number]
    assert np.isnan(back if kind is f16 else from_bf16(back)).all(), "NaN stays NaN"


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", STORED)
def test_pack(source: str, target: str, transposed: bool) -> None:
    """[blocks][inputs][64], the last block filled with zeros."""
    for inputs, outputs in ((1, 1), (5, 63), (17, 64), (3, 65), (40, 130), (0, 5), (5, 0)):
        weight = stored(numbers(inputs, outputs), STORED[source])  # [inputs, outputs]
        given = np.ascontiguousarray(weight.T) if transposed else weight
        packed = pack_matrix(EXECUTOR, given, STORED[source], KINDS[target], transposed=transposed)
        assert packed.shape == (inputs, outputs)
        assert packed.nbytes == -(-outputs // BLOCK) * inputs * BLOCK * packed.data.itemsize
        assert packed.data.__array_interface__["data"][0] % 64 == 0 or packed.nbytes == 0
        exact = converted(weight, STORED[source], KINDS[target])
        blocks = -(-outputs // BLOCK)
        full = np.zeros((inputs, blocks * BLOCK), exact.dtype)
        full[:, :outputs] = exact
        expected = full.reshape(inputs, blocks, BLOCK).transpose(1, 0, 2)
        np.testing.assert_array_equal(packed.data.reshape(expected.shape), expected, strict=True)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "step"), [(64, 5, 64), (200, 33, 64), (257, 64, 128), (10, 3, 64), (130, 70, 192)]
)
def test_parts_give_the_whole(rows: int, columns: int, step: int, transposed: bool) -> None:
    weight = stored(numbers(rows, columns), f32)
    parts = ((i, weight[i : i + step]) for i in range(0, rows, step))
    packed = pack_parts(EXECUTOR, parts, (rows, columns), f32, f16, transposed=transposed)
    whole = pack_matrix(EXECUTOR, weight, f32, f16, transposed=transposed)
    assert packed.shape == whole.shape
    assert packed.data.tobytes() == whole.data.tobytes()


def test_dtype_auto_is_the_type_of_the_file() -> None:
    assert [held_kind("auto", kind) for kind in (f32, f16, bf16, f64)] == [f32, f16, bf16, f32]
    assert [held_kind(name, f64) for name in ("f32", "f16", "bf16")] == [f32, f16, bf16]


@pytest.mark.parametrize("dtype", ["F32", "int8", "", "float32"])
def test_unknown_dtype(dtype: str) -> None:
    with pytest.raises(WeightError, match=rf"dtype '{dtype}' is unknown; choose from auto, f32, f16, bf16"):
        held_kind(dtype, f32)
    assert issubclass(WeightError, GlassformerError)


@pytest.mark.parametrize("dtype", ["I64", "U8", "BOOL", "F8_E4M3"])
def test_tensors_that_are_no_weights(dtype: str) -> None:
    with pytest.raises(WeightError, match=f"wte.weight is {dtype}; weights are F32, F16, BF16, F64"):
        stored_kind(dtype, "wte.weight")
