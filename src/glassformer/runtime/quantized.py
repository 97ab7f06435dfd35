"""Weight matrices of eight or four bits, and the two operations that read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.matmul_quantized import matmul_quantized
from glassformer.kernels.pack_quantized import pack_quantized
from glassformer.kernels.quantize import GROUP, embedding_q8, quantize_rows
from glassformer.runtime.epilogue import Epilogue
from glassformer.runtime.executor import Cost, Executor, Launch
from glassformer.runtime.memory import Room, aligned
from glassformer.simd.types import Value

TILES = {512: (4, 3, 2, 1), 256: (4, 2, 1), 128: (2, 1)}  # rows of register tiles by bits of a register
Float32 = npt.NDArray[np.float32]
Kind = type[Value]


class QuantizationError(GlassformerError):
    """A matrix that cannot be quantised in groups of 32 inputs."""


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """A matrix [inputs, outputs] of codes with an f16 scale for each 32 inputs.

    Layouts: `glassformer.kernels.quantize`.
    """

    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float16]
    inputs: int
    outputs: int
    bits: int

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
    *, bits: int, transposed: bool, room: Room = aligned,
) -> QuantizedMatrix:  # fmt: skip
    """Quantise a matrix to 8 or 4 bits that comes in parts (index of the first row, rows).

    One that is `transposed` comes in whole blocks of 64 outputs, any other in one part.
    """
    inputs, outputs = (shape[1], shape[0]) if transposed else shape
    if inputs % GROUP:
        raise QuantizationError(f"{name} has {inputs} inputs; q{bits} needs a multiple of {GROUP}: use f16 or f32")
    blocks = -(-outputs // BLOCK)
    codes = room(blocks * inputs * BLOCK * bits // 8, np.uint8)
    scales = room(blocks * inputs // GROUP * BLOCK, np.float16)
    for first, rows in parts:
        source = np.ascontiguousarray(rows)
        count = len(source) if transposed else outputs
        begin = first // BLOCK if transposed else 0
        target = codes[begin * inputs * BLOCK * bits // 8 :], scales[begin * inputs // GROUP * BLOCK :]
        arguments = (source, *target, inputs, count)
        kernel = pack_quantized.specialise(FROM=stored, BITS=bits, TRANSPOSED=transposed)
        executor.run(Launch(kernel, arguments, -(-count // BLOCK), source.size * 4))
    return QuantizedMatrix(codes, scales, inputs, outputs, bits)


@dataclass(frozen=True, eq=False)
class QuantizedRows:
    """Rows of activations in eight bits, as `glassformer.kernels.quantize` says.

    codes: i8 [rows, width]; scales: f32, sums: i32, both [rows, width / 32].
    """

    codes: npt.NDArray[np.int8]
    scales: Float32
    sums: npt.NDArray[np.int32]
    rows: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, width)."""
        return self.rows, self.width


def empty_rows(executor: Executor, rows: int, width: int) -> QuantizedRows:
    """Room for rows of activations."""
    if width % GROUP:
        raise QuantizationError(f"rows of {width} cannot be quantised; expected a multiple of {GROUP}")
    codes = executor.empty((rows, width), np.int8)  # [rows, width]
    scales = executor.empty((rows, width // GROUP))  # [rows, groups]
    sums = executor.empty((rows, width // GROUP), np.int32)  # [rows, groups]
    return QuantizedRows(codes, scales, sums, rows, width)


def quantize(executor: Executor, x: Float32) -> QuantizedRows:
    """Activations in eight bits, to be multiplied with several matrices.  x: [rows, width]."""
    made = empty_rows(executor, len(x), x.shape[1])
    arguments = (x, made.codes, made.scales, made.sums, made.width)
    executor.run(Launch(quantize_rows.specialise(), arguments, made.rows, 2 * x.size, Cost(3 * x.size)))
    return made


def quantized_tile(executor: Executor) -> dict[str, Any]:
    """Vectors of a quantised product's register tile, and rows of the largest and of those for what remains."""
    bits = executor.target.vector_bits
    features = executor.target.features
    pairs = "x86" in features and "vnni" not in features  # without the instruction for whole dot products
    return {"VECTORS": 4 if bits >= 512 else 1, "TILES": TILES[bits], "PAIRS": pairs}


def linear_quantized(
    executor: Executor, x: Float32 | QuantizedRows, weight: QuantizedMatrix, epilogue: Epilogue
) -> Float32:
    """x @ weight and its epilogue, the activations quantised in groups of 32.  x: [rows, inputs] -> [rows, outputs]."""
    x = x if isinstance(x, QuantizedRows) else quantize(executor, x)
    out = executor.empty((x.rows, weight.outputs))  # [rows, outputs]
    multiply_quantized(executor, x, weight, epilogue, out, None)
    return out


def linear_into_quantized(
    executor: Executor, x: Float32 | QuantizedRows, weight: QuantizedMatrix, epilogue: Epilogue
) -> QuantizedRows:
    """The same with the result in eight bits, the codes that `quantize` would make of it."""
    x = x if isinstance(x, QuantizedRows) else quantize(executor, x)
    made = empty_rows(executor, x.rows, weight.outputs)
    rows = max(quantized_tile(executor)["TILES"])
    out = executor.empty((-(-weight.outputs // BLOCK), rows, BLOCK))  # [blocks, rows of a tile, 64]
    multiply_quantized(executor, x, weight, epilogue, out, made)
    return made


def multiply_quantized(
    executor: Executor, x: QuantizedRows, weight: QuantizedMatrix, epilogue: Epilogue, out: Float32,
    made: QuantizedRows | None,
) -> None:  # fmt: skip
    """Launch a product into `out`, or by way of it into `made`."""
    kernel = matmul_quantized.specialise(
        BITS=weight.bits, **quantized_tile(executor), ACTIVATION=epilogue.activation, QUANTIZE=made is not None
    )
    results = (None, None, None) if made is None else (made.codes, made.scales, made.sums)
    arguments = (
        x.codes, x.scales, x.sums, weight.codes, weight.scales, *epilogue.arguments, out, x.rows,
        weight.inputs, weight.outputs, *results,
    )  # fmt: skip
    size = x.rows * weight.outputs
    cost = Cost(2 * size * weight.inputs)
    executor.run(Launch(kernel, arguments, -(-weight.outputs // BLOCK), size * weight.inputs // 4, cost))


def embedding_rows_q8(executor: Executor, table: QuantizedMatrix, ids: npt.NDArray[np.int32]) -> Float32:
    """Rows of a table that is held as a matrix [width, rows].  ids: [count] -> [count, width]."""
    if table.bits != 8:
        raise QuantizationError(f"a table of {table.bits} bits cannot be looked up in; hold it in 8")
    out = executor.empty((ids.size, table.inputs))  # [count, width]
    kernel = embedding_q8.specialise()
    arguments = (table.codes, table.scales, ids, out, table.inputs)
    executor.run(Launch(kernel, arguments, ids.size, 4 * out.size, Cost(0, 5 * out.size)))
    return out
