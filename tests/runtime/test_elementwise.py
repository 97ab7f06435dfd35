"""Elementwise operations of two operands and of one against NumPy: values, broadcasting, layouts, types."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from float64_references import LARGEST_NMSE, as_kernels_see, nmse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager

ENGINE = Ops(Eager(threads=2))
EXACT: dict[str, Callable[..., Any]] = {  # correctly rounded: equal to NumPy in float32
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "minimum": np.minimum, "maximum": np.maximum,
}  # fmt: skip
EXACT_UNARY: dict[str, Callable[..., Any]] = {"sqrt": np.sqrt, "negative": np.negative, "absolute": np.absolute}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=5, max_side=7, min_side=0), st.sampled_from(sorted(EXACT)))
def test_any_shapes_that_broadcast(shapes: Any, name: str) -> None:
    random = np.random.default_rng(1)
    a, b = (np.asarray(random.standard_normal(shape), np.float32) for shape in shapes.input_shapes)
    result = getattr(ENGINE, name)(a, b)
    assert result.dtype == np.float32
    assert result.shape == shapes.result_shape
    np.testing.assert_array_equal(result, EXACT[name](a, b))


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("left", "right"), [
    ((), ()), ((), (5,)), ((100,), ()), ((1,), (1,)), ((17,), (17,)), ((5000,), (5000,)), ((3, 1), (1, 33)),
    ((3, 100), (100,)),
    ((4, 3, 20), (3, 1)), ((65, 1), (65, 1)), ((0,), (1,)), ((3, 0), (3, 1)), ((0, 5), (5,)), ((2, 1, 1, 16),
    (7, 1, 16)),
])  # fmt: skip
def test_shapes(ops: Ops, normal: Any, name: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = normal(*left), normal(*right)
    result, expected = getattr(ops, name)(a, b), np.asarray(EXACT[name](a, b))
    assert (result.shape, result.dtype) == (expected.shape, np.float32)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", EXACT)
def test_layouts_and_types(ops: Ops, normal: Any, name: str) -> None:
    big = normal(20, 30)
    for a, b in ((big.T, big.T[:1]), (big[::2], big[::-2]), (big[:, ::3], np.broadcast_to(big[:, :1], (20, 10)))):
        np.testing.assert_array_equal(getattr(ops, name)(a, b), EXACT[name](a, b))
    numbers = np.arange(1, 21)
    for dtype in ("float64", "float16", "int8", "uint64", ">f8"):
        result = getattr(ops, name)(numbers.astype(dtype), 3)
        np.testing.assert_array_equal(result, EXACT[name](numbers.astype(np.float32), np.float32(3)))
    np.testing.assert_array_equal(getattr(ops, name)([True, False], 2), EXACT[name](np.float32([1, 0]), np.float32(2)))


def test_special_values(ops: Ops) -> None:
    a = np.float32([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, 3e38, 1e-45])
    for name in ("add", "subtract", "multiply", "divide"):
        for b in a:
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(getattr(ops, name)(a, b), EXACT[name](a, b), strict=True)


def test_minimum_and_maximum_give_the_second_operand_beside_nan(ops: Ops) -> None:
    for name in ("minimum", "maximum"):
        np.testing.assert_array_equal(getattr(ops, name)([np.nan, 2.0], [1.0, np.nan]), [1.0, np.nan])


@pytest.mark.parametrize("name", EXACT_UNARY)
@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (15,), (16,), (17,), (3, 5, 7), (4096,), (4097,), (3, 4095), (2, 0, 3)]
)
def test_exact_functions(ops: Ops, normal: Any, name: str, shape: tuple[int, ...]) -> None:
    x = np.absolute(normal(*shape)) if name == "sqrt" else normal(*shape)
    result = getattr(ops, name)(x)
    assert (result.shape, result.dtype) == (shape, np.float32)
    np.testing.assert_array_equal(result, EXACT_UNARY[name](x))


def test_exp_and_log(ops: Ops, normal: Any) -> None:
    x = normal(70, 71) * 10
    assert nmse(ops.exp(x), np.exp(as_kernels_see(x))) <= LARGEST_NMSE
    y = np.exp(x)
    assert nmse(ops.log(y), np.log(as_kernels_see(y))) <= LARGEST_NMSE
    np.testing.assert_array_equal(ops.exp([0, -np.inf, np.inf, np.nan, 1000, -1000]), [1, 0, np.inf, np.nan, np.inf, 0])
    np.testing.assert_array_equal(ops.log([1, 0, np.inf, np.nan, -1]), [0, -np.inf, np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(ops.exp([-0.0, 1e-45]), [1, 1])


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("left", "right"), [((3,), (4,)), ((2, 3), (3, 2)), ((2, 3), (4, 2, 2)), ((0,), (2,))])
def test_an_error_states_both_shapes(ops: Ops, name: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        getattr(ops, name)(np.zeros(left), np.zeros(right))
    assert str(left) in str(caught.value)
    assert str(right) in str(caught.value)
