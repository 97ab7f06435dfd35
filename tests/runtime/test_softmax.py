"""softmax and log_softmax against float64, over each axis, with infinities, NaN and huge values."""

from typing import Any

import float64_references as reference
import numpy as np
import pytest
from float64_references import LARGEST_NMSE, as_kernels_see, nmse

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops

SHAPES = [(1,), (5,), (16,), (17,), (3, 1), (1, 100), (7, 15), (4, 64), (2, 3, 33), (3, 50257), (2, 3, 4, 5)]
EMPTY = [(0,), (0, 3), (3, 0), (2, 0, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [1.0, 30.0, 1e4, 1e30])
def test_each_axis(ops: Ops, normal: Any, shape: tuple[int, ...], size: float) -> None:
    x = np.asarray(normal(*shape) * np.float32(size), np.float32)
    for axis in range(-len(shape), len(shape)):
        result = ops.softmax(x, axis)
        assert nmse(result, reference.softmax(as_kernels_see(x), axis)) <= LARGEST_NMSE
        np.testing.assert_allclose(result.sum(axis=axis, dtype=np.float64), 1.0, rtol=1e-5)
        assert nmse(ops.log_softmax(x, axis), reference.log_softmax(as_kernels_see(x), axis)) <= LARGEST_NMSE


@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_nothing_in_nothing_out(ops: Ops, shape: tuple[int, ...]) -> None:
    for axis in range(-len(shape), len(shape)):
        assert ops.softmax(np.zeros(shape), axis).shape == ops.log_softmax(np.zeros(shape), axis).shape == shape


@pytest.mark.parametrize("width", [2, 16, 17, 40])
def test_minus_infinity_has_no_share(ops: Ops, normal: Any, width: int) -> None:
    x = normal(3, width)
    x[:, 1::2] = -np.inf
    result, logarithm = ops.softmax(x), ops.log_softmax(x)
    assert nmse(result, reference.softmax(as_kernels_see(x))) <= LARGEST_NMSE
    assert (result[:, 1::2] == 0).all()
    assert np.isneginf(logarithm[:, 1::2]).all()
    np.testing.assert_allclose(
        logarithm[:, ::2], reference.log_softmax(as_kernels_see(x[:, ::2])), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("width", [1, 3, 16, 17, 40])
@pytest.mark.parametrize("bad", ["all -inf", "inf", "nan first", "nan last"])
def test_rows_without_a_distribution_are_nan_and_leave_others_alone(
    ops: Ops, normal: Any, width: int, bad: str
) -> None:
    """As 0/0 and inf/inf are in NumPy and in every framework."""
    x = normal(3, width)
    if bad == "all -inf":
        x[1] = -np.inf
    else:
        x[1, -1 if bad == "nan last" else 0] = np.inf if bad == "inf" else np.nan
    for function, meaning in ((ops.softmax, reference.softmax), (ops.log_softmax, reference.log_softmax)):
        result = function(x)
        assert np.isnan(result[1, -1 if bad == "nan last" else 0])
        assert nmse(result[[0, 2]], meaning(as_kernels_see(x[[0, 2]]))) <= LARGEST_NMSE


def test_huge_values(ops: Ops) -> None:
    np.testing.assert_array_equal(ops.softmax([3e38, 3e38, -3e38]), [0.5, 0.5, 0])
    np.testing.assert_array_equal(ops.softmax([-3e38, -3e38]), [0.5, 0.5])
    np.testing.assert_array_equal(ops.softmax([0, -200.0]), [1, 0])
    np.testing.assert_array_equal(ops.log_softmax([0, -200.0]), [0, -200])


def test_layouts_and_types(ops: Ops, normal: Any) -> None:
    big = normal(20, 30)
    for x in (
        big.T,
        big[::2, ::3],
        big[::-1],
        np.broadcast_to(big[0], (4, 30)),
        big.astype(np.float16),
        (big * 4).astype(int),
    ):
        for axis in (0, 1):
            assert nmse(ops.softmax(x, axis), reference.softmax(as_kernels_see(x), axis)) <= LARGEST_NMSE


@pytest.mark.parametrize("axis", [2, -3, 10**9, 0.0, "0", None, (0, 1)])
def test_wrong_axes(ops: Ops, axis: Any) -> None:
    with pytest.raises(ShapeError, match=r"axis .* of shape \(2, 3\)"):
        ops.softmax(np.zeros((2, 3)), axis)
    with pytest.raises(ShapeError, match="0 axes"):
        ops.log_softmax(1.0)
