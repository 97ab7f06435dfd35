"""Weights of eight and four bits: the codes by their definition, products against float64, the same bits everywhere."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.quantized import QuantizationError, QuantizedMatrix, QuantizedRows, quantize_parts
from glassformer.runtime.quantized import quantize as quantize_activations
from glassformer.simd.target import runnable_targets
from glassformer.simd.types import f16, f32

Float32 = npt.NDArray[np.float32]


def numbers(*shape: int, seed: int = 0) -> Float32:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def quantize(
    weight: npt.NDArray[Any], *, bits: int = 8, transposed: bool = False, ops: Ops | None = None
) -> QuantizedMatrix:
    stored = f16 if weight.dtype == np.float16 else f32
    shape = (weight.shape[0], weight.shape[1])
    executor = (ops or Ops(Eager(2))).executor
    return quantize_parts(executor, [(0, weight)], shape, stored, "weight", bits=bits, transposed=transposed)


def dequantized(matrix: QuantizedMatrix) -> npt.NDArray[np.float64]:
    """The matrix [inputs, outputs] that the codes and scales stand for, read by the documented layout."""
    blocks, inputs = -(-matrix.outputs // 64), matrix.inputs
    if matrix.bits == 8:
        codes = matrix.codes.reshape(blocks, inputs // 4, 64, 4)
    else:
        halves = matrix.codes.reshape(blocks, inputs // 8, 1, 64, 4)
        codes = np.concatenate([halves & 15, halves >> 4], axis=2).reshape(blocks, inputs // 4, 64, 4)
    rows = codes.transpose(1, 3, 0, 2).reshape(inputs, -1)
    scales = matrix.scales.reshape(blocks, inputs // 32, 64).transpose(1, 0, 2).reshape(inputs // 32, -1)
    zero = 2 ** (matrix.bits - 1)
    whole = (rows.astype(np.float64) - zero) * np.repeat(scales.astype(np.float64), 32, axis=0)
    return np.asarray(whole[:, : matrix.outputs])


def quantized_rows(x: Float32) -> npt.NDArray[np.float64]:
    """What a row becomes: codes of 32 numbers with the scale largest / 127."""
    groups = x.reshape(len(x), -1, 32)
    largest = np.abs(groups).max(-1, keepdims=True)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > 0)
    codes = np.rint(groups * inverse)
    return np.asarray((codes * (largest / np.float32(127)).astype(np.float64)).reshape(x.shape))


def nmse(found: Float32, expected: npt.NDArray[np.float64]) -> float:
    return float(((found - expected) ** 2).sum() / (expected**2).sum())


@pytest.mark.parametrize("outputs", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("transposed", [False, True])
def test_codes_are_within_half_a_step_of_the_weights(outputs: int, transposed: bool) -> None:
    weight = numbers(64, outputs)
    matrix = quantize(np.ascontiguousarray(weight.T) if transposed else weight, transposed=transposed)
    groups = np.abs(weight.reshape(2, 32, outputs)).max(1)  # [groups, outputs]
    scales = (groups / np.float32(127)).astype(np.float16)
    # Half a step, and what the rounding of the scale to f16 moves the largest code by.
    allowed = np.repeat(scales.astype(np.float64) * (0.5 + 127 * 2.0**-11), 32, axis=0)
    assert (np.abs(dequantized(matrix) - weight) <= allowed + 1e-12).all()


def test_four_bits_choose_a_scale_no_worse_than_the_plain_one() -> None:
    weight = numbers(128, 100)
    groups = weight.reshape(4, 32, 100)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(1)[:, None], 1)  # with its sign
    scale = (largest / np.float32(-8)).astype(np.float16).astype(np.float64)
    plain = np.clip(np.rint(groups / scale), -8, 7) * scale
    ours = dequantized(quantize(weight, bits=4)).reshape(4, 32, 100)
    assert (((ours - groups) ** 2).sum(1) <= ((plain - groups) ** 2).sum(1) + 1e-6).all()
    assert nmse(ours.astype(np.float32), groups.astype(np.float64)) < 0.01


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("rows", [1, 2, 3, 7])
@pytest.mark.parametrize("outputs", [1, 65, 130])
def test_linear_is_the_product_of_what_the_codes_stand_for(bits: int, rows: int, outputs: int) -> None:
    weight, x, bias = numbers(96, outputs), numbers(rows, 96, seed=1), numbers(outputs, seed=2)
    matrix = quantize(weight, bits=bits)
    found = Ops(Eager(2)).linear(x, matrix, bias)
    assert nmse(found, quantized_rows(x) @ dequantized(matrix) + bias) < 1e-12
    assert nmse(found, x.astype(np.float64) @ dequantized(matrix) + bias) < 5e-4


def test_zeros_have_a_scale_of_zero_and_stay_zeros() -> None:
    matrix = quantize(np.zeros((32, 70), np.float32))
    assert (dequantized(matrix) == 0).all()
    assert (Ops(Eager(1)).linear(np.zeros((2, 32), np.float32), matrix) == 0).all()


def test_rows_of_a_tied_table_are_the_dequantized_ones() -> None:
    table = numbers(130, 64)  # [rows, width]
    matrix = quantize(table.astype(np.float16), transposed=True)
    ids = [0, 63, 64, 129, 5]
    assert np.array_equal(Ops(Eager(1)).embedding(matrix, ids), dequantized(matrix).T[ids].astype(np.float32))


def test_parts_give_what_the_whole_gives() -> None:
    table = numbers(200, 64)
    executor = Eager(2)
    parts = [(0, table[:64]), (64, table[64:192]), (192, table[192:])]
    cut = quantize_parts(executor, parts, (200, 64), f32, "table", bits=8, transposed=True)
    whole = quantize(table, transposed=True)
    assert np.array_equal(cut.codes, whole.codes)
    assert np.array_equal(cut.scales.view(np.uint16), whole.scales.view(np.uint16))


@pytest.mark.parametrize("bits", [8, 4])
def test_same_bits_at_every_level_for_any_threads_and_rows(bits: int) -> None:
    weight, x = numbers(64, 150), numbers(7, 64, seed=1)
    results = []
    for target in runnable_targets():
        for threads in (1, 3):
            ops = Ops(Eager(threads, target=target))
            results.append(ops.linear(x, quantize(weight, bits=bits, ops=ops)))
    ops = Ops(Eager(1))
    results.append(np.concatenate([ops.linear(x[i : i + 1], quantize(weight, bits=bits)) for i in range(len(x))]))
    assert all(np.array_equal(r.view(np.uint32), results[0].view(np.uint32)) for r in results)


def test_inputs_that_are_no_multiple_of_a_group_are_refused() -> None:
    with pytest.raises(QuantizationError, match="48 inputs"):
        quantize(numbers(48, 10))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_damaged_numbers_come_out_as_nan(bits: int, bad: float) -> None:
    weight, x = numbers(64, 70), numbers(2, 64, seed=1)
    damaged = weight.copy()
    damaged[40, 5] = bad
    out = Ops(Eager(1)).linear(x, quantize(damaged, bits=bits))
    assert np.isnan(out[:, 5]).all()
    assert np.isfinite(np.delete(out, 5, axis=1)).all()
    x[1, 3] = bad
    out = Ops(Eager(1)).linear(x, quantize(weight, bits=bits))
    assert np.isnan(out[1]).all()
    assert np.isfinite(out[0]).all()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("huge", [1e7, -1e7, 1e20, 3e38])
def test_weights_too_large_for_any_scale_come_out_as_nan(bits: int, huge: float) -> None:
    """A scale is f16: beyond it nothing is near the weight, and zeros in its place would be silent."""
    weight = numbers(64, 70)
    weight[40, 5] = huge
    out = Ops(Eager(1)).linear(numbers(2, 64, seed=1), quantize(weight, bits=bits))
    assert np.isnan(out[:, 5]).all()
    assert np.isfinite(np.delete(out, 5, axis=1)).all()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("rows", [1, 3, 6, 20])
@pytest.mark.parametrize("outputs", [32, 96, 128])
def test_a_product_in_eight_bits_is_what_quantising_makes_of_it(bits: int, rows: int, outputs: int, ops: Ops) -> None:
    rng = np.random.default_rng(rows)
    weight = rng.standard_normal((64, outputs)).astype(np.float32)
    x, bias = rng.standard_normal((rows, 64)).astype(np.float32), rng.standard_normal(outputs).astype(np.float32)
    held = quantize_parts(ops.executor, [(0, weight)], weight.shape, f32, "w", bits=bits, transposed=False)
    whole = quantize_activations(ops.executor, ops.linear(x, held, bias, activation="gelu_new"))
    made = ops.linear_for(held, x, held, bias, activation="gelu_new")
    assert isinstance(made, QuantizedRows)
    for name in ("codes", "scales", "sums"):
        assert np.array_equal(getattr(made, name), getattr(whole, name)), name


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("target", [runnable_targets()[-1], "avx2"])
def test_rows_of_any_batch_equal_the_row_alone(bits: int, target: str) -> None:
    """Few rows pass by fours, many by threes, what remains by others; weights are asked for in different ways."""
    if target not in runnable_targets():
        pytest.skip("this processor has no such level")
    ops = Ops(Eager(2, target=target))
    weight, x = quantize(numbers(96, 330), bits=bits, ops=ops), numbers(31, 96, seed=1)
    alone = [ops.linear(x[i : i + 1], weight).tobytes() for i in range(len(x))]
    for rows in (*range(2, 14), 23, 24, 25, 26, 27, 28, 31):
        assert ops.linear(x[:rows], weight).tobytes() == b"".join(alone[:rows]), rows
