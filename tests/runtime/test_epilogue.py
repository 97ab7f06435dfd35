"""Bias, activation and residual within a matrix product: the bits of the separate operations."""

from typing import Any

import numpy as np
import pytest

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import ACTIVATIONS, Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.packed import KINDS, pack_matrix
from glassformer.runtime.quantized import QuantizationError, quantize, quantize_parts
from glassformer.simd.target import runnable_targets
from glassformer.simd.types import f32

FORMATS = (*KINDS, "q8", "q4")


def numbers(*shape: int) -> Any:
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def held(ops: Ops, weight: Any, name: str) -> Any:
    """A float32 matrix in one of the formats of weights."""
    if name in KINDS:
        return pack_matrix(ops.executor, weight, f32, KINDS[name])
    return quantize_parts(ops.executor, [(0, weight)], weight.shape, f32, "weight", bits=int(name[1]), transposed=False)


@pytest.mark.parametrize("target", runnable_targets())
@pytest.mark.parametrize("name", FORMATS)
def test_fused_is_separate_to_the_bit(name: str, target: str) -> None:
    ops = Ops(Eager(2, target=target))
    weight, bias = held(ops, numbers(96, 130), name), numbers(130)
    for rows in (1, 2, 7, 20):
        x, residual = numbers(rows, 96), numbers(rows, 130)
        product = ops.linear(x, weight)
        fused = ops.linear(x, weight, bias, activation="gelu_new", residual=residual)
        separate = ops.add(residual, ops.gelu(ops.add(product, bias)))
        assert fused.tobytes() == separate.tobytes(), rows
        assert ops.linear(x, weight, residual=residual).tobytes() == ops.add(residual, product).tobytes()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(ops: Ops, activation: str) -> None:
    weight, x = held(ops, numbers(32, 70), "f32"), numbers(3, 32)
    separate = ops.activation(activation, ops.linear(x, weight))
    assert ops.linear(x, weight, activation=activation).tobytes() == separate.tobytes()


def test_a_product_of_many_inputs_is_finished_once(ops: Ops) -> None:
    """Inputs pass in parts that stay in the cache; the sum in between is no result."""
    x, weight, bias = numbers(40, 700), held(ops, numbers(700, 65), "f32"), numbers(65)
    separate = ops.gelu(ops.add(ops.linear(x, weight), bias))
    assert ops.linear(x, weight, bias, activation="gelu_new").tobytes() == separate.tobytes()


@pytest.mark.parametrize("bits", [8, 4])
def test_rows_quantised_before_give_the_same_bits(ops: Ops, bits: int) -> None:
    x, weight = numbers(5, 64), held(ops, numbers(64, 70), f"q{bits}")
    rows = quantize(ops.executor, x)
    assert rows.shape == (5, 64)
    assert ops.linear(rows, weight).tobytes() == ops.linear(x, weight).tobytes()


def test_what_does_not_fit_is_refused(ops: Ops) -> None:
    x, weight = numbers(2, 32), held(ops, numbers(32, 70), "f32")
    with pytest.raises(ShapeError, match=r"residual \(70,\) meets a product \(2, 70\)"):
        ops.linear(x, weight, residual=np.zeros(70))
    with pytest.raises(ShapeError, match="activation 'swish' is unknown; choose from"):
        ops.linear(x, weight, activation="swish")
    with pytest.raises(ShapeError, match="give them as float32"):
        ops.linear(quantize(ops.executor, x), weight)
    with pytest.raises(ShapeError, match=r"x \(2, 64\) meets a weight \(32, 70\)"):
        ops.linear(quantize(ops.executor, numbers(2, 64)), held(ops, numbers(32, 70), "q8"))
    with pytest.raises(QuantizationError, match="rows of 40"):
        quantize(ops.executor, numbers(2, 40))
