"""Weight matrices in the layout of the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.pack import convert, pack
from glassformer.runtime.executor import Executor, Launch
from glassformer.runtime.threads import aligned
from glassformer.simd.types import Value, bf16, f16, f32, f64, numpy_dtype

Kind = type[Value]
KINDS: dict[str, Kind] = {"f32": f32, "f16": f16, "bf16": bf16}
STORED: dict[str, Kind] = {"F32": f32, "F16": f16, "BF16": bf16, "F64": f64}


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


def held_kind(dtype: str, stored: Kind) -> Kind:
    """The type that weights are held in: "auto" is the file's own, F64 becoming f32."""
    if dtype == "auto":
        return f32 if stored is f64 else stored
    if dtype not in KINDS:
        raise WeightError(f"dtype {dtype!r} is unknown; choose from auto, {', '.join(KINDS)}")
    return KINDS[dtype]


def pack_matrix(
    executor: Executor, source: npt.NDArray[Any], stored: Kind, held: Kind, *, transposed: bool = False
) -> PackedMatrix:
    """Pack a contiguous matrix: [inputs, outputs], or [outputs, inputs] where `transposed`; bf16 comes as its 16 bits."""
    rows, columns = source.shape
    inputs, outputs = (columns, rows) if transposed else (rows, columns)
    k_stride, n_stride = (1, columns) if transposed else (columns, 1)
    blocks = -(-outputs // BLOCK)
    data = aligned(blocks * inputs * BLOCK, numpy_dtype(held))
    kernel = pack.specialise(FROM=stored, TO=held)
    executor.run(Launch(kernel, (source, data, inputs, outputs, k_stride, n_stride), blocks, data.size))
    return PackedMatrix(data, held, inputs, outputs)


def convert_array(executor: Executor, source: npt.NDArray[Any], stored: Kind, held: Kind) -> npt.NDArray[Any]:
    """A contiguous array as another type, in memory of our own."""
    out = aligned(source.size, numpy_dtype(held))
    kernel = convert.specialise(FROM=stored, TO=held)
    executor.run(Launch(kernel, (source, out, source.size), -(-source.size // 4096), source.size))
    return out.reshape(source.shape)
