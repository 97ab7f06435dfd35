"""Weight matrices of eight bits, and the two operations that read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.matmul_q8 import matmul_q8
from glassformer.kernels.quantize import GROUP, embedding_q8, pack_q8, quantize_rows
from glassformer.runtime.executor import Executor, Launch
from glassformer.runtime.threads import aligned
from glassformer.simd.types import Value

Float32 = npt.NDArray[np.float32]
Kind = type[Value]


class QuantizationError(GlassformerError):
    """A matrix that cannot be quantised in groups of 32 inputs."""


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """A matrix [inputs, outputs] of u8 codes with an f16 scale for each 32 inputs.

    Layout: `glassformer.kernels.quantize`.
    """

    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float16]
    inputs: int
    outputs: int

    @property
    def shape(self) -> tuple[int, int]:
        """(inputs, outputs)."""
        return self.inputs, self.outputs

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.codes.nbytes + self.scales.nbytes)


def quantize_parts(
    executor: Executor, parts: Iterable[tuple[int, npt.NDArray[Any]]], shape: tuple[int, int], stored: Kind, name: str,
    *, transposed: bool,
) -> QuantizedMatrix:  # fmt: skip
    """Quantise a matrix that comes in parts (index of the first row, rows), in whole blocks of 64 outputs if
    `transposed`.

    One that is not transposed must come in one part.
    """
    inputs, outputs = (shape[1], shape[0]) if transposed else shape
    if inputs % GROUP:
        raise QuantizationError(f"{name} has {inputs} inputs; q8 needs a multiple of {GROUP}: use f16 or f32")
    blocks = -(-outputs // BLOCK)
    codes, scales = aligned(blocks * inputs * BLOCK, np.uint8), aligned(blocks * inputs // GROUP * BLOCK, np.float16)
    for first, rows in parts:
        source = np.ascontiguousarray(rows)
        count = len(source) if transposed else outputs
        k_stride, n_stride = (1, inputs) if transposed else (outputs, 1)
        begin = first // BLOCK if transposed else 0
        target = codes[begin * inputs * BLOCK :], scales[begin * inputs // GROUP * BLOCK :]
        arguments = (source, *target, inputs, count, k_stride, n_stride)
        executor.run(Launch(pack_q8.specialise(FROM=stored), arguments, -(-count // BLOCK), source.size * 4))
    return QuantizedMatrix(codes, scales, inputs, outputs)


def linear_q8(executor: Executor, x: Float32, weight: QuantizedMatrix, bias: Float32 | None) -> Float32:
    """x @ weight + bias, the activations quantised in groups of 32.  x: [rows, inputs] -> [rows, outputs]."""
    rows, groups = len(x), weight.inputs // GROUP
    codes = executor.empty((rows, weight.inputs), np.int8)  # [rows, inputs]
    scales = executor.empty((rows, groups))  # [rows, groups]
    sums = executor.empty((rows, groups), np.int32)  # [rows, groups]
    executor.run(Launch(quantize_rows.specialise(), (x, codes, scales, sums, weight.inputs), rows, 2 * x.size))
    out = executor.empty((rows, weight.outputs))  # [rows, outputs]
    wide = executor.target.vector_bits >= 512
    kernel = matmul_q8.specialise(VECTORS=4 if wide else 1, TOKENS=3, BIAS=bias is not None)
    arguments = (codes, scales, sums, weight.codes, weight.scales, bias, out, rows, weight.inputs, weight.outputs)
    executor.run(Launch(kernel, arguments, -(-weight.outputs // BLOCK), out.size * weight.inputs // 4))
    return out


def embedding_rows_q8(executor: Executor, table: QuantizedMatrix, ids: npt.NDArray[np.int32]) -> Float32:
    """Rows of a table that is held as a matrix [width, rows].  ids: [count] -> [count, width]."""
    out = executor.empty((ids.size, table.inputs))  # [count, width]
    kernel = embedding_q8.specialise()
    executor.run(Launch(kernel, (table.codes, table.scales, ids, out, table.inputs), ids.size, 4 * out.size))
    return out
