"""Matrix products: of plain arrays, and with packed or quantised weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.kernels.matmul import BLOCK, matmul
from glassformer.runtime.arrays import Float32, ShapeError, as_float32, broadcast_shape, item_offsets
from glassformer.runtime.epilogue import Epilogue
from glassformer.runtime.executor import Cost, Executor, Launch
from glassformer.runtime.packed import PackedMatrix
from glassformer.runtime.paired import PairedMatrix, paired_rows
from glassformer.runtime.quantized import QuantizedMatrix, QuantizedRows, linear_into_quantized, linear_quantized
from glassformer.simd.types import byte_size, f32

NEAR_BYTES = 256 << 10  # of a core's own caches, that a matrix product's weights may fill while many rows pass


def tile_shape(executor: Executor) -> dict[str, Any]:
    """Vectors of a matrix product's register tile, and rows of the largest and of those for what remains."""
    bits = executor.target.vector_bits
    return {"VECTORS": 4 if bits >= 512 else 1, "TILES": (6, 4, 2, 1) if bits >= 256 else (2, 1)}


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
        product(executor, left, right, out, offsets, (m, k, n), Epilogue())
    if vectors[0]:
        out = out[..., 0, :]
    return out[..., 0] if vectors[1] else out


def linear(
    executor: Executor, x: npt.ArrayLike | QuantizedRows, weight: PackedMatrix | QuantizedMatrix, epilogue: Epilogue
) -> Float32:
    """x @ weight and its epilogue with a packed matrix; see `Ops.linear`."""
    x = check_linear(x, weight, epilogue)
    if isinstance(weight, QuantizedMatrix):
        return linear_quantized(executor, x, weight, epilogue)
    if isinstance(x, QuantizedRows):
        raise ShapeError("linear: quantised activations meet a weight that is not; give them as float32")
    rows, inputs = x.shape
    out = executor.empty((rows, weight.outputs))  # [rows, outputs]
    zero = [np.zeros(1, np.int64)] * 2
    product(executor, x, weight, out, zero, (rows, inputs, weight.outputs), epilogue)
    return out


def check_linear(
    x: npt.ArrayLike | QuantizedRows, weight: PackedMatrix | QuantizedMatrix, epilogue: Epilogue
) -> Float32 | QuantizedRows:
    """Refuse operands that do not go together; x as rows of float32 or of eight bits."""
    if not isinstance(weight, PackedMatrix | QuantizedMatrix):
        raise ShapeError(f"linear takes a PackedMatrix, found {type(weight).__name__}; pack it, or use matmul")
    if not isinstance(x, QuantizedRows):
        x = as_float32(x)
    if len(x.shape) != 2 or x.shape[1] != weight.inputs:
        raise ShapeError(f"linear: x {x.shape} meets a weight {weight.shape}; expected x [rows, {weight.inputs}]")
    epilogue.check(x.shape[0], weight.shape)
    return x


def linear_for(
    executor: Executor, matrix: PackedMatrix | QuantizedMatrix, x: npt.ArrayLike | QuantizedRows,
    weight: PackedMatrix | QuantizedMatrix, epilogue: Epilogue,
) -> Float32 | QuantizedRows:  # fmt: skip
    """`linear` on the way into another product; see `Ops.linear_for`."""
    if not isinstance(matrix, QuantizedMatrix) or not isinstance(weight, QuantizedMatrix):
        return linear(executor, x, weight, epilogue)
    x = check_linear(x, weight, epilogue)
    return linear_into_quantized(executor, x, weight, epilogue)


def product(
    executor: Executor, x: Float32, weight: Float32 | PackedMatrix, out: Float32, offsets: list[npt.NDArray[np.int64]],
    shape: tuple[int, int, int], epilogue: Epilogue,
) -> None:  # fmt: skip
    """Launch x @ weight and its epilogue into `out`, for each item of a batch that begins at the offsets."""
    m, k, n = shape
    pairs = isinstance(weight, PairedMatrix)
    shape_of_tile = tile_shape(executor)
    packed = isinstance(weight, PackedMatrix)
    kind, data = (weight.kind, weight.data) if isinstance(weight, PackedMatrix) else (f32, weight)
    if pairs:
        x, kind, k = paired_rows(executor, x), f32, k // 2
    k_stride, block_stride = (BLOCK, k * BLOCK) if packed else (n, BLOCK)
    kernel = matmul.specialise(W=kind, **shape_of_tile, PACKED=packed, PAIRS=pairs, ACTIVATION=epilogue.activation)
    depth = max(k, 1) if m <= shape_of_tile["TILES"][0] else NEAR_BYTES // (BLOCK * byte_size(kind))
    arguments = (
        x, data, *epilogue.arguments, out, *offsets, m, k, n, k, k_stride, block_stride, depth
    )  # fmt: skip
    cost = Cost(2 * out.size * shape[1])
    executor.run(Launch(kernel, arguments, len(offsets[0]) * -(-n // BLOCK), out.size * k, cost))
