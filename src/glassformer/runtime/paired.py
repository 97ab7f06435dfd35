"""Weights and activations of bf16, multiplied in pairs: half the bytes of f32 and, with the instruction, twice its
speed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.pack import convert
from glassformer.kernels.pairs import pair_up
from glassformer.runtime.arrays import Float32
from glassformer.runtime.executor import Executor, Launch
from glassformer.runtime.packed import PackedMatrix, WeightError
from glassformer.simd.types import bf16, f32

CHUNK = 4096  # numbers of a task of `convert`


@dataclass(frozen=True, eq=False)
class PairedMatrix(PackedMatrix):
    """A matrix [inputs, outputs] as [blocks][inputs / 2][64][2] of bf16; its products round activations to bf16."""


def pair_matrix(executor: Executor, matrix: PackedMatrix, name: str) -> PairedMatrix:
    """Make a packed matrix of bf16 a paired one; its memory is taken over."""
    if matrix.kind is not bf16 or matrix.inputs % 2:
        raise WeightError(f"{name} has {matrix.inputs} inputs; bf16-dot takes them in pairs: use bf16")
    blocks = -(-matrix.outputs // BLOCK)
    executor.run(Launch(pair_up.specialise(), (matrix.data, matrix.inputs), blocks, matrix.data.size))
    return PairedMatrix(matrix.data, bf16, matrix.inputs, matrix.outputs)


def paired_rows(executor: Executor, x: Float32) -> Float32:
    """Rows rounded to bf16, a pair in the place of an f32.  x: [rows, inputs] -> [rows, inputs / 2]."""
    codes: npt.NDArray[np.uint16] = executor.empty(x.shape, np.uint16)  # [rows, inputs]
    if x.size:
        kernel = convert.specialise(FROM=f32, TO=bf16)
        executor.run(Launch(kernel, (x, codes, x.size), -(-x.size // CHUNK), x.size))
    return codes.view(np.float32)
