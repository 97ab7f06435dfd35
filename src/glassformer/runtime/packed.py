"""Weight matrices in the layout of the kernels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.pack import convert, pack
from glassformer.runtime.executor import Executor, Launch
from glassformer.runtime.memory import Room, aligned
from glassformer.simd.types import Value, bf16, f16, f32, f64, numpy_dtype

Kind = type[Value]
KINDS: dict[str, Kind] = {"f32": f32, "f16": f16, "bf16": bf16}
# Not one type: codes with scales, see `glassformer.runtime.quantized`.
QUANTIZED: dict[str, int] = {"q8": 8, "q4": 4}
PAIRED = "bf16-dot"  # bf16 in pairs, and activations too, see `glassformer.runtime.paired`
STORED: dict[str, Kind] = {"F32": f32, "F16": f16, "BF16": bf16, "F64": f64}

PART = 2 << 20  # bytes of a file that are mapped at a time while a matrix is packed


class WeightError(GlassformerError):
    """A tensor that cannot serve as a weight."""


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A matrix [inputs, outputs] as [blocks][inputs][64] of one type, the last block filled up with zeros."""

    data: npt.NDArray[Any]
    kind: Kind
    inputs: int
    outputs: int

    @property
    def shape(self) -> tuple[int, int]:
        """(inputs, outputs)."""
        return self.inputs, self.outputs

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.data.nbytes)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows to be looked up, [rows, width] of one type, as they lie in the file."""

    data: npt.NDArray[Any]
    kind: Kind
    rows: int
    width: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.data.nbytes)


def stored_kind(dtype: str, name: str) -> Kind:
    """The machine type of a tensor by its safetensors dtype."""
    if dtype not in STORED:
        raise WeightError(f"{name} is {dtype}; weights are {', '.join(STORED)}")
    return STORED[dtype]


def check_dtype(dtype: str) -> None:
    """Refuse a `dtype` that weights cannot be held in."""
    known = ("auto", *KINDS, PAIRED, *QUANTIZED)
    if dtype not in known:
        raise WeightError(f"dtype {dtype!r} is unknown; choose from {', '.join(known)}")


def held_kind(dtype: str, stored: Kind) -> Kind:
    """The type that weights are held in: "auto" is the file's own, F64 becoming f32."""
    if dtype == "auto":
        return f32 if stored is f64 else stored
    check_dtype(dtype)
    return bf16 if dtype == PAIRED else KINDS[dtype]


def pack_matrix(
    executor: Executor, source: npt.NDArray[Any], stored: Kind, held: Kind, *, transposed: bool = False
) -> PackedMatrix:
    """Pack a contiguous matrix [inputs, outputs], or [outputs, inputs] where `transposed`; bf16 comes as its codes."""
    rows, columns = source.shape
    matrix = empty_matrix((rows, columns), held, transposed=transposed)
    pack_into(executor, source, matrix.data, stored, held, transposed=transposed)
    return matrix


def pack_parts(
    executor: Executor, parts: Iterable[tuple[int, npt.NDArray[Any]]], shape: tuple[int, int], stored: Kind, held: Kind,
    *, transposed: bool = False, room: Room = aligned,
) -> PackedMatrix:  # fmt: skip
    """Pack a matrix that comes in parts (index of the first row, rows), all but the last with whole blocks of 64 rows.

    What has been packed can be given back before the next part comes, so packing takes little memory beyond the result.
    """
    matrix = empty_matrix(shape, held, transposed=transposed, room=room)
    blocks = matrix.data.reshape(-1, matrix.inputs, BLOCK)  # [blocks, inputs, 64]
    for first, rows in parts:
        source = np.ascontiguousarray(rows)
        if transposed or len(rows) == len(blocks[0]):
            pack_into(executor, source, blocks[first // BLOCK :], stored, held, transposed=transposed)
        else:
            part = pack_matrix(executor, source, stored, held)
            blocks[:, first : first + len(rows)] = part.data.reshape(len(blocks), -1, BLOCK)
    return matrix


def part_bytes(shape: tuple[int, ...], stored: Kind) -> int:
    """Bytes to read at a time of a matrix for `pack_parts`: about PART, in whole blocks of rows."""
    block = BLOCK * shape[1] * np.dtype(numpy_dtype(stored)).itemsize
    return max(1, PART // block) * block


def empty_matrix(shape: tuple[int, int], held: Kind, *, transposed: bool, room: Room = aligned) -> PackedMatrix:
    """Room for a matrix of that shape in its file."""
    inputs, outputs = (shape[1], shape[0]) if transposed else shape
    data = room(-(-outputs // BLOCK) * inputs * BLOCK, numpy_dtype(held))
    return PackedMatrix(data, held, inputs, outputs)


def pack_into(
    executor: Executor, source: npt.NDArray[Any], data: npt.NDArray[Any], stored: Kind, held: Kind, *, transposed: bool
) -> None:
    """Fill the blocks at the start of `data` from a contiguous matrix."""
    rows, columns = source.shape
    inputs, outputs = (columns, rows) if transposed else (rows, columns)
    k_stride, n_stride = (1, columns) if transposed else (columns, 1)
    blocks = -(-outputs // BLOCK)
    kernel = pack.specialise(FROM=stored, TO=held)
    arguments = (source, data, inputs, outputs, k_stride, n_stride)
    executor.run(Launch(kernel, arguments, blocks, blocks * inputs * BLOCK))


def convert_array(
    executor: Executor, source: npt.NDArray[Any], stored: Kind, held: Kind, room: Room = aligned
) -> npt.NDArray[Any]:
    """A contiguous array as another type, in memory of our own."""
    out = room(source.size, numpy_dtype(held))
    kernel = convert.specialise(FROM=stored, TO=held)
    executor.run(Launch(kernel, (source, out, source.size), -(-source.size // 4096), source.size))
    return out.reshape(source.shape)
