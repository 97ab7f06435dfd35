"""Matrix products: of plain arrays, and with packed or quantised weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glassformer.kernels.matmul import BLOCK, matmul
from glassformer.runtime.arrays import Float32, ShapeError, as_float32, broadcast_shape, item_offsets
from glassformer.runtime.executor import Executor, Launch
from glassformer.runtime.packed import PackedMatrix
from glassformer.runtime.quantized import QuantizedMatrix, linear_quantized
from glassformer.simd.types import byte_size, f32

NEAR_BYTES = 32 << 10  # of the nearest cache, that a matrix product's weights may fill while many rows pass


def tile_shape(executor: Executor) -> tuple[int, int]:
    """Vectors and rows of a matrix product's register tile, as the target has registers."""
    return (4, 6) if executor.target.vector_bits >= 512 else (1, 4)


def matmul_arrays(executor: Executor, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
    """a @ b by NumPy's rules; see `Ops.matmul`."""
    left, right = as_float32(a, "a"), as_float32(b, "b")
    if left.ndim == 0 or right.ndim == 0:
        raise ShapeError(f"matmul takes no scalars, found shapes {left.shape} and {right.shape}; use multiply")
    vectors = (left.ndim == 1, right.ndim == 1)
    left = left[None, :] if vectors[0] else left  # [..., m, k]
    right = right[:, None] if vectors[1] else right  # [..., k, n]
    (m, k), (rows, n) = left.shape[-2:], right.shape[-2:]
    if k != rows:
        raise ShapeError(f"matmul: {np.shape(a)} @ {np.shape(b)}: {k} columns meet {rows} rows")
    batch = broadcast_shape(left.shape[:-2], right.shape[:-2])
    out = executor.empty((*batch, m, n))  # [..., m, n]
    offsets = [item_offsets(x, batch) for x in (left, right)]
    if out.size:
        product(executor, left, right, None, out, offsets, (m, k, n), packed=False)
    if vectors[0]:
        out = out[..., 0, :]
    return out[..., 0] if vectors[1] else out


def linear(
    executor: Executor, x: npt.ArrayLike, weight: PackedMatrix | QuantizedMatrix, bias: npt.ArrayLike | None
) -> Float32:
    """x @ weight + bias with a packed matrix; see `Ops.linear`."""
    if not isinstance(weight, PackedMatrix | QuantizedMatrix):
        raise ShapeError(f"linear takes a PackedMatrix, found {type(weight).__name__}; pack it, or use matmul")
    x = as_float32(x)
    bias = None if bias is None else as_float32(bias, "bias")
    if x.ndim != 2 or x.shape[1] != weight.inputs:
        raise ShapeError(f"linear: x {x.shape} meets a weight {weight.shape}; expected x [rows, {weight.inputs}]")
    if bias is not None and bias.shape != (weight.outputs,):
        raise ShapeError(f"linear: bias {bias.shape} meets a weight {weight.shape}; expected bias ({weight.outputs},)")
    if isinstance(weight, QuantizedMatrix):
        return linear_quantized(executor, x, weight, bias)
    rows, inputs = x.shape
    out = executor.empty((rows, weight.outputs))  # [rows, outputs]
    zero = [np.zeros(1, np.int64)] * 2
    product(executor, x, weight, bias, out, zero, (rows, inputs, weight.outputs), packed=True)
    return out


def product(
    executor: Executor, x: Float32, weight: Float32 | PackedMatrix, bias: Float32 | None, out: Float32,
    offsets: list[npt.NDArray[np.int64]], shape: tuple[int, int, int], *, packed: bool,
) -> None:  # fmt: skip
    m, k, n = shape
    vectors, rows = tile_shape(executor)
    kind, data = (weight.kind, weight.data) if isinstance(weight, PackedMatrix) else (f32, weight)
    k_stride, block_stride = (BLOCK, k * BLOCK) if packed else (n, BLOCK)
    kernel = matmul.specialise(W=kind, VECTORS=vectors, TOKENS=rows, BIAS=bias is not None, PACKED=packed)
    depth = max(k, 1) if m <= rows else NEAR_BYTES // (BLOCK * byte_size(kind))
    arguments = (x, data, bias, out, *offsets, m, k, n, k, k_stride, block_stride, depth)
    executor.run(Launch(kernel, arguments, len(offsets[0]) * -(-n // BLOCK), out.size * k))
