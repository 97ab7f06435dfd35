"""Products of bf16 pairs: against float64 on the rounded numbers, the same bits on every level and for any rows."""

from typing import Any

import numpy as np
import pytest
from float64_references import LARGEST_NMSE, nmse

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.packed import WeightError, pack_matrix
from glassformer.runtime.paired import PairedMatrix, pair_matrix
from glassformer.simd.target import runnable_targets
from glassformer.simd.types import bf16, f32


def numbers(*shape: int) -> Any:
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def codes(x: Any) -> Any:
    """float32 numbers as bf16, to nearest even."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def rounded(x: Any) -> Any:
    return (codes(x).astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def paired(ops: Ops, weight: Any) -> PairedMatrix:
    return pair_matrix(ops.executor, pack_matrix(ops.executor, weight, f32, bf16), "weight")


@pytest.mark.parametrize("outputs", [1, 64, 130])
def test_the_layout(ops: Ops, outputs: int) -> None:
    weight = numbers(6, outputs)
    blocks = paired(ops, weight).data.reshape(-1, 3, 64, 2)  # [blocks, inputs / 2, 64, 2]
    rows = blocks.transpose(1, 3, 0, 2).reshape(6, -1)
    assert np.array_equal(rows[:, :outputs], codes(weight))
    assert not rows[:, outputs:].any()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 33])
def test_linear_is_the_product_of_the_rounded_numbers(ops: Ops, rows: int) -> None:
    weight, bias = numbers(300, 200), numbers(200)
    x, residual, held = numbers(rows, 300), numbers(rows, 200), paired(ops, weight)
    expected = rounded(x) @ rounded(weight) + bias
    assert nmse(ops.linear(x, held, bias), expected) <= LARGEST_NMSE
    assert nmse(ops.linear(x, held, bias, residual=residual), residual + expected) <= LARGEST_NMSE


def test_the_same_bits_at_every_level_for_any_threads_and_rows() -> None:
    weight, x = numbers(300, 150), numbers(13, 300) * np.float32(30)
    results = []
    for target in runnable_targets():
        for threads in (1, 3):
            ops = Ops(Eager(threads, target=target))
            results.append(ops.linear(x, paired(ops, weight)))
    ops = Ops(Eager(1))
    held = paired(ops, weight)
    results.append(np.concatenate([ops.linear(x[i : i + 1], held) for i in range(len(x))]))
    assert all(np.array_equal(r.view(np.uint32), results[0].view(np.uint32)) for r in results)


def test_what_cannot_be_paired_is_refused(ops: Ops) -> None:
    with pytest.raises(WeightError, match="c_fc has 5 inputs; bf16-dot takes them in pairs: use bf16"):
        pair_matrix(ops.executor, pack_matrix(ops.executor, numbers(5, 7), f32, bf16), "c_fc")
    with pytest.raises(ShapeError, match="for products alone"):
        ops.embedding(paired(ops, numbers(4, 7)), [0])


def test_no_rows_or_outputs(ops: Ops) -> None:
    assert ops.linear(np.zeros((0, 4)), paired(ops, numbers(4, 7))).shape == (0, 7)
    assert ops.linear(np.zeros((3, 4)), paired(ops, numbers(4, 0))).shape == (3, 0)
