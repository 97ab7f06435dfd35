"""layer_norm against float64: odd widths, constant rows, means that dwarf the deviations."""

from typing import Any

import float64_references as reference
import numpy as np
import pytest
from float64_references import LARGEST_NMSE, as_kernels_see, nmse

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops
from glassformer.runtime.normalization import normalize_q8
from glassformer.runtime.packed import pack_matrix
from glassformer.runtime.quantized import quantize
from glassformer.simd.types import f32


@pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 31, 33, 64, 768, 1600])
@pytest.mark.parametrize("offset", [0.0, 1.0, -100.0, 1e4, 1e6])
def test_values(ops: Ops, normal: Any, width: int, offset: float) -> None:
    x, weight, bias = normal(7, width) + np.float32(offset), normal(width), normal(width)
    expected = reference.layer_norm(*(as_kernels_see(a) for a in (x, weight, bias)), 1e-5)
    assert nmse(ops.layer_norm(x, weight, bias), expected) <= LARGEST_NMSE
    plain = reference.layer_norm(as_kernels_see(x), np.ones(width), np.zeros(width), 1e-5)
    assert nmse(ops.layer_norm(x, np.ones(width), np.zeros(width)), plain) <= LARGEST_NMSE


@pytest.mark.parametrize("width", [1, 15, 16, 17, 768])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.3333, 1e10, 1e-30])
def test_constant_rows_give_the_bias(ops: Ops, normal: Any, width: int, value: float) -> None:
    bias = normal(width)
    np.testing.assert_array_equal(
        ops.layer_norm(np.full((3, width), value), normal(width), bias), np.tile(bias, (3, 1))
    )


@pytest.mark.parametrize("shape", [(), (1,), (2,), (2, 3), (2, 1, 3)])
def test_leading_axes(ops: Ops, normal: Any, shape: tuple[int, ...]) -> None:
    x, weight, bias = normal(*shape, 20), normal(20), normal(20)
    expected = reference.layer_norm(*(as_kernels_see(a) for a in (x, weight, bias)), 1e-5)
    assert nmse(ops.layer_norm(x, weight, bias), expected) <= LARGEST_NMSE


@pytest.mark.parametrize("epsilon", [0, 1e-12, 1e-5, 1, np.float32(0.5), 1e3])
def test_epsilon(ops: Ops, normal: Any, epsilon: float) -> None:
    x, weight, bias = normal(3, 40) * np.float32(1e-2), normal(40), normal(40)
    expected = reference.layer_norm(*(as_kernels_see(a) for a in (x, weight, bias)), float(epsilon))
    assert nmse(ops.layer_norm(x, weight, bias, epsilon), expected) <= LARGEST_NMSE


def test_layouts_and_types(ops: Ops, normal: Any) -> None:
    big, weight, bias = normal(24, 24), normal(48)[::2], normal(24)[::-1]
    for x in (big.T, big[::-2], np.broadcast_to(big[1], (3, 24)), big.astype(np.float64), (big * 9).astype(np.int16)):
        expected = reference.layer_norm(*(as_kernels_see(a) for a in (x, weight, bias)), 1e-5)
        assert nmse(ops.layer_norm(x, weight, bias), expected) <= LARGEST_NMSE


def test_no_rows_and_no_columns(ops: Ops) -> None:
    assert ops.layer_norm(np.zeros((0, 5)), np.ones(5), np.ones(5)).shape == (0, 5)
    assert ops.layer_norm(np.zeros((5, 0)), np.ones(0), np.ones(0)).shape == (5, 0)


def test_nan_and_infinity_spoil_their_own_row_alone(ops: Ops, normal: Any) -> None:
    x = normal(4, 33)
    clean = ops.layer_norm(x, np.ones(33), np.zeros(33))
    x[1, 32], x[2, 0] = np.nan, np.inf
    result = ops.layer_norm(x, np.ones(33), np.zeros(33))
    assert np.isnan(result[1]).all()
    assert np.isnan(result[2]).any()
    np.testing.assert_array_equal(result[[0, 3]], clean[[0, 3]])


@pytest.mark.parametrize(("x", "weight", "bias"), [
    ((2, 3), (4,), (4,)), ((2, 3), (3,), (4,)), ((2, 3), (1,), (1,)), ((2, 3), (2, 3), (2, 3)), ((), (1,), (1,)),
])  # fmt: skip
def test_an_error_states_the_shapes(ops: Ops, x: Any, weight: Any, bias: Any) -> None:
    with pytest.raises(ShapeError) as caught:
        ops.layer_norm(np.zeros(x), np.zeros(weight), np.zeros(bias))
    assert all(str(shape) in str(caught.value) for shape in (x, weight, bias))


@pytest.mark.parametrize("epsilon", [-1e-5, float("nan"), "1e-5", None, [1e-5]])
def test_wrong_epsilon(ops: Ops, epsilon: Any) -> None:
    with pytest.raises(ShapeError, match="epsilon"):
        ops.layer_norm([1.0, 2.0], [1, 1], [0, 0], epsilon)


@pytest.mark.parametrize("rows", [1, 5])
def test_in_eight_bits_it_is_what_quantising_makes_of_it(rows: int, ops: Ops) -> None:
    rng = np.random.default_rng(rows)
    x = (rng.standard_normal((rows, 96)) * 5).astype(np.float32)
    x[0, 40] = 1e30 if rows > 1 else 2.0
    weight, bias = rng.standard_normal((2, 96)).astype(np.float32)
    whole = quantize(ops.executor, ops.layer_norm(x, weight, bias))
    made = normalize_q8(ops.executor, x, weight, bias, 1e-5)
    for name in ("codes", "scales", "sums"):
        assert np.array_equal(getattr(made, name), getattr(whole, name), equal_nan=name == "scales"), name


def test_what_is_not_finite_shows_in_the_scales(ops: Ops) -> None:
    x = np.ones((3, 64), np.float32)
    x[1, 3], x[2, 40] = np.nan, np.inf
    made = quantize(ops.executor, x)
    assert np.array_equal(np.isnan(made.scales), [[False, False], [True, False], [False, True]])


def test_rows_for_a_matrix_come_as_its_product_takes_them(ops: Ops) -> None:
    x, one = np.ones((2, 64), np.float32), np.ones(64, np.float32)
    packed = pack_matrix(ops.executor, np.ones((64, 64), np.float32), f32, f32)
    assert isinstance(ops.layer_norm_for(packed, x, one, one), np.ndarray)
    with pytest.raises(ShapeError, match=r"expected \[rows, width\]"):
        normalize_q8(ops.executor, one, one, one, 1e-5)
