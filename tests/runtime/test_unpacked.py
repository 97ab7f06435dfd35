"""Packed matrices read back: the numbers that products with them use, for every type that weights are held in."""

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.packed import KINDS, PackedMatrix, pack_matrix
from glassformer.runtime.paired import pair_matrix
from glassformer.runtime.quantized import QuantizedMatrix, quantize_parts
from glassformer.runtime.unpacked import columns, dense, mean_column, onto, rows, times
from glassformer.simd.types import bf16, f32

Float32 = npt.NDArray[np.float32]
EXECUTOR = Eager(1)
OPS = Ops(EXECUTOR)
SHAPES = [(64, 64), (32, 130), (96, 1), (32, 63)]

PRECISIONS = [("f32", 0), ("f16", 1e-3), ("bf16", 8e-3), ("bf16-dot", 8e-3), ("q8", 0.02), ("q4", 0.3)]


def weights(shape: tuple[int, int]) -> Float32:
    return np.random.default_rng(shape[1]).standard_normal(shape).astype(np.float32)


def held(weight: Float32, dtype: str) -> PackedMatrix | QuantizedMatrix:
    if dtype in ("q8", "q4"):
        parts = [(0, weight)]
        return quantize_parts(EXECUTOR, parts, weight.shape, f32, "w", bits=int(dtype[1:]), transposed=False)
    if dtype == "bf16-dot":
        return pair_matrix(EXECUTOR, pack_matrix(EXECUTOR, weight, f32, bf16), "w")
    return pack_matrix(EXECUTOR, weight, f32, KINDS[dtype])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "near"), PRECISIONS)
def test_dense_is_the_matrix_to_the_precision_of_its_type(dtype: str, near: float, shape: tuple[int, int]) -> None:
    weight = weights(shape)
    found = dense(held(weight, dtype))
    assert found.shape == shape
    assert found.dtype == np.float32
    assert np.abs(found - weight).max() <= near * np.abs(weight).max()


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "bf16-dot", "q8", "q4"])
def test_a_row_is_what_a_product_gives_for_one_input(dtype: str) -> None:
    """The kernels, which have their own way to read a matrix, agree: a 1 among zeros is exact in all types."""
    matrix = held(weights((64, 130)), dtype)
    one = np.eye(64, dtype=np.float32)
    assert np.allclose(OPS.linear(one, matrix), dense(matrix), rtol=1e-6, atol=0)
    assert np.array_equal(rows(matrix, range(33, 40)), dense(matrix)[33:40])


@pytest.mark.parametrize("dtype", ["f32", "bf16-dot", "q8", "q4"])
def test_parts_and_products_are_those_of_the_dense_matrix(dtype: str) -> None:
    matrix = held(weights((64, 130)), dtype)
    whole = dense(matrix).astype(np.float64)
    random = np.random.default_rng(0)
    right, left = (random.standard_normal(shape).astype(np.float32) for shape in ((130, 3), (2, 64)))
    assert np.array_equal(columns(matrix, [129, 0, 64, 0]), whole[:, [129, 0, 64, 0]].T)
    assert np.allclose(times(matrix, right), whole @ right, atol=1e-4)
    assert np.allclose(onto(left, matrix, range(60, 129)), left @ whole[:, 60:129], atol=1e-4)
    assert np.allclose(mean_column(matrix), whole.mean(1), atol=1e-6)
