"""The numbers of packed matrices, read back.

A packed matrix is read in blocks of 64 outputs, whatever its type: `PackedMatrix`, `PairedMatrix` and
`QuantizedMatrix` say how each lies in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.quantize import GROUP
from glassformer.runtime.packed import PackedMatrix
from glassformer.runtime.paired import PairedMatrix
from glassformer.runtime.quantized import QuantizedMatrix
from glassformer.simd.types import bf16

Float32 = npt.NDArray[np.float32]
Matrix = PackedMatrix | QuantizedMatrix

PART = 64  # blocks that are read at a time where a whole vocabulary is


def block_values(matrix: Matrix, blocks: slice | npt.NDArray[np.int64]) -> Float32:
    """Some blocks of a matrix [inputs, outputs] -> [blocks, inputs, 64]; outputs beyond the last one are zeros."""
    if isinstance(matrix, QuantizedMatrix):
        return quantized_values(matrix, blocks)
    if isinstance(matrix, PairedMatrix):
        pairs = matrix.data.reshape(-1, matrix.inputs // 2, BLOCK, 2)[blocks]  # [blocks, inputs / 2, 64, 2]
        return widened(pairs.swapaxes(2, 3).reshape(-1, matrix.inputs, BLOCK))
    data = matrix.data.reshape(-1, matrix.inputs, BLOCK)[blocks]  # [blocks, inputs, 64]
    return widened(data) if matrix.kind is bf16 else data.astype(np.float32, copy=False)


def widened(codes: npt.NDArray[np.uint16]) -> Float32:
    """bf16 as float32, of which it is the upper half."""
    return (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)


def quantized_values(matrix: QuantizedMatrix, blocks: slice | npt.NDArray[np.int64]) -> Float32:
    """The same of codes with scales: (code - 2^(bits - 1)) * scale."""
    per_word = 32 // matrix.bits
    words = matrix.codes.reshape(-1, matrix.inputs // per_word, BLOCK, 4)[blocks]  # [blocks, words, 64, 4]
    if matrix.bits == 4:
        words = np.concatenate([words & 15, words >> 4], axis=3)  # [blocks, words, 64, 8]
    codes = words.swapaxes(2, 3).reshape(-1, matrix.inputs, BLOCK).astype(np.float32)  # [blocks, inputs, 64]
    scales = matrix.scales.reshape(-1, matrix.inputs // GROUP, BLOCK)[blocks].astype(np.float32)
    return (codes - 2 ** (matrix.bits - 1)) * np.repeat(scales, GROUP, axis=1)  # type: ignore[no-any-return]


def dense(matrix: Matrix) -> Float32:
    """The whole matrix [inputs, outputs]."""
    return rows(matrix, range(matrix.inputs))


def columns(matrix: Matrix, outputs: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Float32:
    """What leads to some outputs: [len(outputs), inputs]."""
    wanted = np.asarray(outputs, np.int64)
    blocks, place = np.unique(wanted // BLOCK, return_inverse=True)
    return block_values(matrix, blocks)[place, :, wanted % BLOCK]


def rows(matrix: Matrix, inputs: range) -> Float32:
    """What some inputs lead to: [len(inputs), outputs]."""
    values = block_values(matrix, slice(None))[:, inputs.start : inputs.stop : inputs.step]  # [blocks, len, 64]
    return np.ascontiguousarray(values.swapaxes(0, 1).reshape(len(inputs), -1)[:, : matrix.outputs])


def times(matrix: Matrix, vectors: Float32) -> Float32:
    """matrix @ vectors: [inputs, outputs] @ [outputs, count] -> [inputs, count]."""
    padded = np.zeros((-(-matrix.outputs // BLOCK) * BLOCK, vectors.shape[1]), np.float32)
    padded[: matrix.outputs] = vectors
    values = block_values(matrix, slice(None))  # [blocks, inputs, 64]
    found: Float32 = (values @ padded.reshape(len(values), BLOCK, -1)).sum(0)  # [inputs, count]
    return found


def onto(vectors: Float32, matrix: Matrix, outputs: range) -> Float32:
    """vectors @ matrix[:, outputs]: [count, inputs] @ [inputs, outputs] -> [count, outputs].

    outputs: of step 1.
    """
    first = outputs.start // BLOCK
    values = block_values(matrix, slice(first, -(-outputs.stop // BLOCK)))  # [blocks, inputs, 64]
    found = (vectors @ values).swapaxes(0, 1).reshape(len(vectors), -1)  # [count, 64 * blocks]
    return found[:, outputs.start - first * BLOCK :][:, : len(outputs)]


def mean_column(matrix: Matrix) -> Float32:
    """The mean over all outputs: [inputs]."""
    total = np.zeros(matrix.inputs, np.float64)
    for first in range(0, -(-matrix.outputs // BLOCK), PART):
        total += block_values(matrix, slice(first, first + PART)).sum((0, 2))
    return (total / matrix.outputs).astype(np.float32)
