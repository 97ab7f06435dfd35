"""linear and embedding on packed weights of each type, against float64 on the weights as they are held."""

from typing import Any

import numpy as np
import pytest
from float64_references import LARGEST_NMSE, as_kernels_see, nmse

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops
from glassformer.runtime.packed import KINDS, PackedMatrix, Table, pack_matrix
from glassformer.simd.types import f32

OUTPUTS = [1, 15, 63, 64, 65, 130]


def rounded(x: Any, kind: str) -> Any:
    """Float32 values after rounding to a type, by NumPy and by bits."""
    if kind == "f16":
        return x.astype(np.float16).astype(np.float32)
    if kind == "bf16":
        bits = x.view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return x


def packed(ops: Ops, weight: Any, kind: str) -> PackedMatrix:
    """A float32 matrix [inputs, outputs] held as another type."""
    return pack_matrix(ops.executor, weight, f32, KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_linear(ops: Ops, normal: Any, kind: str, outputs: int) -> None:
    for inputs in (1, 17, 64, 300):
        weight, bias = normal(inputs, outputs), normal(outputs)
        held, exact = packed(ops, weight, kind), as_kernels_see(rounded(weight, kind))
        for rows in (1, 2, 3, 7, 33):
            x = normal(rows, inputs)
            assert nmse(ops.linear(x, held), x @ exact) <= LARGEST_NMSE
            assert nmse(ops.linear(x, held, bias), x @ exact + bias) <= LARGEST_NMSE


def test_linear_at_the_sizes_of_gpt2(ops: Ops, normal: Any) -> None:
    weight, bias = normal(768, 2304), normal(2304)
    for kind in KINDS:
        x = normal(5, 768)
        expected = x.astype(np.float64) @ rounded(weight, kind) + bias
        assert nmse(ops.linear(x, packed(ops, weight, kind), bias), expected) <= LARGEST_NMSE


def test_layouts_and_types(ops: Ops, normal: Any) -> None:
    weight, big = normal(20, 70), normal(40, 40)
    held = packed(ops, weight, "f32")
    for x in (big[:, ::2], big[::2, 3:23], big[:20].T, big[:, :20].astype(np.float64), np.arange(20)[None]):
        expected = as_kernels_see(x) @ weight + as_kernels_see(np.arange(140)[::2])
        assert nmse(ops.linear(x, held, np.arange(140)[::2]), expected) <= LARGEST_NMSE


def test_no_rows_inputs_or_outputs(ops: Ops, normal: Any) -> None:
    assert ops.linear(np.zeros((0, 5)), packed(ops, normal(5, 7), "f32")).shape == (0, 7)
    assert ops.linear(np.zeros((3, 5)), packed(ops, normal(5, 0), "f32")).shape == (3, 0)
    bias = normal(7)
    np.testing.assert_array_equal(ops.linear(np.zeros((2, 0)), packed(ops, normal(0, 7), "f16"), bias), [bias, bias])


@pytest.mark.parametrize(("x", "bias", "stated"), [
    ((2, 5), None, ["(2, 5)", "(4, 70)"]), ((4,), None, ["(4,)", "(4, 70)"]), ((1, 2, 4),
    None, ["(1, 2, 4)", "(4, 70)"]),
    ((2, 4), (4,), ["(4,)", "(4, 70)"]), ((2, 4), (1, 70), ["(1, 70)", "(4, 70)"]),
])  # fmt: skip
def test_an_error_states_the_shapes(ops: Ops, normal: Any, x: Any, bias: Any, stated: list[str]) -> None:
    with pytest.raises(ShapeError) as caught:
        ops.linear(np.zeros(x), packed(ops, normal(4, 70), "f32"), None if bias is None else np.zeros(bias))
    assert all(text in str(caught.value) for text in stated)
    with pytest.raises(ShapeError, match="PackedMatrix, found ndarray"):
        ops.linear(np.zeros((2, 4)), np.zeros((4, 70)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (5, 15), (64, 16), (65, 17), (130, 64), (200, 100)])
def test_embedding(ops: Ops, normal: Any, kind: str, rows: int, width: int) -> None:
    """From a table as it lies in a file, and from the packed matrix that is the head as well: the very values."""
    values = normal(rows, width)
    ids = np.random.default_rng(2).integers(0, rows, 50)
    ids[:2] = 0, rows - 1
    expected = rounded(values, kind)[ids]
    stored = {
        "f32": values,
        "f16": values.astype(np.float16),
        "bf16": (rounded(values, "bf16").view(np.uint32) >> 16).astype(np.uint16),
    }
    tied = pack_matrix(ops.executor, values, f32, KINDS[kind], transposed=True)
    for table in (Table(stored[kind], KINDS[kind], rows, width), tied):
        np.testing.assert_array_equal(ops.embedding(table, ids), expected, strict=True)


def test_embedding_of_plain_arrays_and_any_shape_of_ids(ops: Ops, normal: Any) -> None:
    table = normal(9, 20)
    for ids in (3, [1], [], [[1, 2], [8, 0]], np.zeros((2, 0, 3), int), np.uint8([[[4]]]), np.arange(9)[::-2]):
        expected = table[np.asarray(ids, int)]
        np.testing.assert_array_equal(ops.embedding(table, ids), expected, strict=True)
    np.testing.assert_array_equal(ops.embedding(table.T[::2], [3]), table.T[::2][[3]], strict=True)
    np.testing.assert_array_equal(ops.embedding(np.arange(12).reshape(4, 3), [2]), np.float32([[6, 7, 8]]), strict=True)


@pytest.mark.parametrize(
    "ids", [[9], [-1], [0, 2**31], [2**62], -(2**40), np.uint64([2**64 - 1]), [1.0], ["1"], [True], [None]]
)
def test_ids_that_are_none(ops: Ops, normal: Any, ids: Any) -> None:
    with pytest.raises(ShapeError, match="ids"):
        ops.embedding(normal(9, 4), ids)
    with pytest.raises(ShapeError, match="ids"):
        ops.embedding(packed(ops, normal(4, 9), "f32"), ids)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_tables_that_are_none(ops: Ops, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected \[rows, width\]"):
        ops.embedding(np.zeros(shape), [0])
