"""The linear layers of GPT-2 124M with weights of every kind: one token (decode), a batch, a prompt.

    python benchmarks/kernels/linear.py [--threads N] [--seconds 0.5] [--json]

Up to 16 rows each call takes another copy of the weights, 256 MB in all, because a model's weights come from memory for
each token and not from the cache. For q8 and q4, GFLOP/s are operations on integers, and activations are in eight bits
before the clock starts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from measure import COLD_BYTES, Array, Case, main, normal

from glassformer.runtime.engine import Ops
from glassformer.runtime.packed import KINDS, PAIRED, QUANTIZED, PackedMatrix, convert_array, pack_matrix
from glassformer.runtime.paired import pair_matrix
from glassformer.runtime.quantized import QuantizedMatrix, QuantizedRows, quantize, quantize_parts
from glassformer.simd.types import bf16, f32

LAYERS = {
    "c_attn": (768, 2304),
    "attn.c_proj": (768, 768),
    "c_fc": (768, 3072),
    "mlp.c_proj": (3072, 768),
    "head": (768, 50257),
}
MANY = ("c_attn", "mlp.c_proj")  # layers that are measured with many rows
ROWS = (1, 4, 16, 512)


def held(ops: Ops, plain: Any, kind: str) -> PackedMatrix | QuantizedMatrix:
    """A float32 matrix [inputs, outputs] in a format of weights."""
    executor = ops.executor
    if kind in QUANTIZED:
        bits = QUANTIZED[kind]
        return quantize_parts(executor, [(0, plain)], plain.shape, f32, kind, bits=bits, transposed=False)
    if kind == PAIRED:
        return pair_matrix(executor, pack_matrix(executor, plain, f32, bf16), kind)
    return pack_matrix(executor, plain, f32, KINDS[kind])


def copy(weight: PackedMatrix | QuantizedMatrix) -> PackedMatrix | QuantizedMatrix:
    """The same weights elsewhere in memory."""
    if isinstance(weight, QuantizedMatrix):
        return replace(weight, codes=weight.codes.copy(), scales=weight.scales.copy())
    return replace(weight, data=weight.data.copy())


def rounded(ops: Ops, x: Any, kind: str) -> Array:
    """Float32 numbers as a kind of weight holds them, in float64."""
    narrow = convert_array(ops.executor, x, f32, KINDS[kind])
    return convert_array(ops.executor, narrow, KINDS[kind], f32).astype(np.float64)


def dequantized(matrix: QuantizedMatrix) -> Array:
    """The matrix [inputs, outputs] in float64 that codes and scales stand for, by the documented layout."""
    blocks, inputs = -(-matrix.outputs // 64), matrix.inputs
    codes = matrix.codes
    if matrix.bits == 4:
        halves = codes.reshape(blocks, inputs // 8, 1, 64, 4)
        codes = np.concatenate([halves & 15, halves >> 4], axis=2)
    rows = codes.reshape(blocks, inputs // 4, 64, 4).transpose(1, 3, 0, 2).reshape(inputs, -1).astype(np.float64)
    scales = matrix.scales.reshape(blocks, inputs // 32, 64).transpose(1, 0, 2).reshape(inputs // 32, -1)
    whole = (rows - 2 ** (matrix.bits - 1)) * np.repeat(scales.astype(np.float64), 32, axis=0)
    return np.asarray(whole[:, : matrix.outputs])


def case(ops: Ops, name: str, rows: int, kind: str) -> Case:
    shape = LAYERS[name]
    plain, bias, x = normal(*shape), normal(shape[1]), normal(rows, shape[0])
    weight = held(ops, plain, kind)
    given: Any = quantize(ops.executor, x) if isinstance(weight, QuantizedMatrix) else x
    number = max(1, COLD_BYTES // weight.nbytes) if rows <= 16 else 1
    runs = [lambda w=w: ops.linear(given, w, bias) for w in (weight, *(copy(weight) for _ in range(number - 1)))]

    def exact() -> Array:
        if isinstance(given, QuantizedRows) and isinstance(weight, QuantizedMatrix):
            wide = given.codes.reshape(rows, -1, 32) * given.scales[..., None].astype(np.float64)
            return np.asarray(wide.reshape(rows, -1) @ dequantized(weight) + bias)
        if kind == PAIRED:
            return np.asarray(rounded(ops, x, "bf16") @ rounded(ops, plain, "bf16") + bias)
        return np.asarray(x.astype(np.float64) @ rounded(ops, plain, kind) + bias)

    moved = weight.nbytes + 4 * (x.size + rows * shape[1])
    peak = "int8" if kind in QUANTIZED else "bf16" if kind == PAIRED else "FMA"
    return Case(f"{name} {rows} x {shape} {kind}", runs, exact, moved, 2 * rows * plain.size, peak)


if __name__ == "__main__":
    main(
        "linear",
        __doc__,
        lambda ops: (
            case(ops, n, rows, kind)
            for kind in (*KINDS, PAIRED, *QUANTIZED)
            for rows in ROWS
            for n in (LAYERS if rows == 1 else MANY)
        ),
    )
