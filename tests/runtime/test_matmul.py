"""matmul against float64, by all of NumPy's rules."""

from typing import Any

import numpy as np
import pytest
from float64_references import LARGEST_NMSE, as_kernels_see, nmse

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops

SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3,), (3,)), ((1,), (1,)), ((300,), (300,)),  # vectors
    ((5,), (5, 7)), ((7, 5), (5,)), ((4, 2, 5), (5,)), ((5,), (4, 5, 2)), ((5,), (5, 129)),
    ((1, 1), (1, 1)), ((1, 64), (64, 64)), ((2, 3), (3, 4)), ((17, 19), (19, 23)), ((6, 65), (65, 64)), ((33, 7),
    (7, 65)),
    ((13, 768), (768, 130)), ((100, 50), (50, 200)), ((3, 1000), (1000, 1)),
    ((4, 2, 3), (4, 3, 5)), ((4, 2, 3), (3, 5)), ((2, 3), (4, 3, 5)), ((1, 2, 3), (4, 3, 5)), ((4, 1, 2, 3), (5, 3, 2)),
    ((2, 1, 3, 4, 5), (7, 1, 5, 6)), ((3, 1, 8, 16), (1, 4, 16, 8)), ((1, 1, 1, 1), (1, 1)),
    ((0, 3), (3, 4)), ((3, 4), (4, 0)), ((0, 4), (4, 0)), ((0, 2, 3), (3, 4)), ((0, 2, 3), (0, 3, 4)), ((2, 0, 3),
    (3, 4)),
    ((3, 0), (0, 4)), ((2, 3, 0), (0, 4)), ((0,), (0,)), ((0,), (0, 3)), ((1, 3, 0), (5, 0, 2)),  # k = 0 gives zeros
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), SHAPES, ids=str)
def test_shapes(ops: Ops, normal: Any, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = normal(*left), normal(*right)
    reference = np.asarray(np.matmul(a.astype(np.float64), b.astype(np.float64)))
    result = ops.matmul(a, b)
    assert result.shape == np.matmul(a, b).shape
    assert nmse(result, reference) <= LARGEST_NMSE


def test_random_shapes(ops: Ops, normal: Any) -> None:
    random = np.random.default_rng(3)
    for _ in range(150):
        m, k, n = (int(random.integers(1, high)) for high in (20, 80, 140))
        a, b = normal(m, k), normal(k, n)
        assert nmse(ops.matmul(a, b), a.astype(np.float64) @ b) <= LARGEST_NMSE, (m, k, n)


@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "int64", "int32", "int8", "uint8", "bool", ">f4", "longdouble"]
)
def test_other_real_types_are_converted(ops: Ops, dtype: str) -> None:
    random = np.random.default_rng(5)
    a = random.integers(0, 2 if dtype == "bool" else 20, (9, 33)).astype(dtype)
    b = random.integers(0, 2 if dtype == "bool" else 5, (33, 21)).astype(dtype)
    result = ops.matmul(a, b)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, a.astype(np.float64) @ b.astype(np.float64))  # small whole numbers: exact


def test_lists_and_mixed_types(ops: Ops) -> None:
    np.testing.assert_array_equal(ops.matmul([[1, 2], [3, 4]], np.array([1.0, 10.0])), [21, 43])


def test_layouts_that_are_not_contiguous(ops: Ops, normal: Any) -> None:
    big = normal(40, 50)
    for a, b in (
        (big.T, big), (big[::2, ::3], big[:17].T[:17, :9]), (big[::-1], big.T[::, ::-1]), (np.asfortranarray(big),
        big.T),
        (np.broadcast_to(big[0], (6, 50)), big.T), (big[:, 3:4], np.broadcast_to(big[5:6, :1], (1, 8))),
    ):  # fmt: skip
        assert nmse(ops.matmul(a, b), np.asarray(a, np.float64) @ b) <= LARGEST_NMSE


def test_operands_are_left_alone_and_may_be_read_only(ops: Ops, normal: Any) -> None:
    a, b = normal(5, 6), normal(6, 7)
    before = a.tobytes(), b.tobytes()
    a.flags.writeable = b.flags.writeable = False
    result = ops.matmul(a, b)
    assert (a.tobytes(), b.tobytes()) == before
    assert result.flags.writeable
    assert not np.shares_memory(result, a)


def test_infinities_and_nan_stay_in_their_rows_and_columns(ops: Ops, normal: Any) -> None:
    a, b = normal(5, 6), normal(6, 70)
    a[2, 3], b[1, 69] = np.nan, np.inf
    result = ops.matmul(a, b)
    assert np.isnan(result[2]).all()
    assert not np.isfinite(result[:, 69]).any()
    assert np.isfinite(np.delete(result, 2, axis=0)[:, :69]).all()


def test_what_float32_cannot_hold_is_infinite(ops: Ops) -> None:
    assert np.isposinf(ops.matmul([[1e300]], [[1.0]])).all()
    assert as_kernels_see(0.1) != 0.1


@pytest.mark.parametrize(("left", "right"), [
    ((3,), (4,)), ((2, 3), (4, 5)), ((2, 3), (2,)), ((3,), (2, 3)), ((2, 2, 3), (3, 3, 4)), ((2, 0), (1, 2)), ((),
    (3,)), ((2, 2), ()),
])  # fmt: skip
def test_an_error_states_both_shapes(ops: Ops, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        ops.matmul(np.zeros(left), np.zeros(right))
    batch = len(left) == len(right) == 3
    for shape in (left[:1], right[:1]) if batch else (left, right):
        assert str(shape) in str(caught.value)
