"""The tensor engine: operations on NumPy arrays, through compiled kernels on all threads.

Every result is a new float32 array. Inputs of other real types are converted to float32. Each element of a result is
computed in one fixed order, so results are the same bits for any number of threads. NaN and infinities pass as IEEE
754 says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.kernels import activation, elementwise
from glassformer.kernels.attention import KEYS, append, attention, query_tile
from glassformer.kernels.embedding import embedding
from glassformer.kernels.matmul import BLOCK, matmul
from glassformer.kernels.normalization import layer_norm
from glassformer.kernels.softmax import softmax
from glassformer.runtime.executor import Executor, Launch
from glassformer.runtime.kv_cache import KVCache
from glassformer.runtime.packed import PackedMatrix, Table
from glassformer.runtime.quantized import QuantizedMatrix, embedding_rows_q8, linear_quantized
from glassformer.simd import Kernel, absolute, add, div, exp, log, maximum, minimum, mul, neg, sqrt, sub
from glassformer.simd.table import Operation
from glassformer.simd.types import byte_size, f32

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]

ACTIVATIONS: dict[str, Kernel] = {
    "gelu_new": activation.gelu_tanh, "gelu": activation.gelu_exact, "relu": activation.relu, "silu": activation.silu,
    "tanh": activation.tanh_activation,
}  # fmt: skip


NEAR_BYTES = 32 << 10  # of the nearest cache, that a matrix product's weights may fill while many rows pass


class ShapeError(GlassformerError):
    """Arrays whose shapes do not go together; the message states them."""


def as_float32(x: npt.ArrayLike, name: str = "x") -> Float32:
    """An array as contiguous float32; anything but real numbers is refused.

    What float32 cannot hold becomes infinite.
    """
    array = as_array(x, name)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{name} holds {array.dtype}; expected real numbers")
    if array.dtype == np.float32:
        return np.asarray(array, np.float32, order="C")
    with np.errstate(over="ignore"):
        return np.asarray(array, np.float32, order="C")


def as_array(x: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """What NumPy can make an array of."""
    try:
        return np.asarray(x)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name} is no array: {error}") from None


def as_ids(ids: npt.ArrayLike, rows: int) -> Int32:
    """Indices into a table of so many rows."""
    array = as_array(ids, "ids")
    if array.size == 0:
        return np.zeros(array.shape, np.int32)
    if array.dtype.kind not in "iu":
        raise ShapeError(f"embedding: ids hold {array.dtype}; expected whole numbers")
    low, high = int(array.min()), int(array.max())
    if not 0 <= low <= high < rows:
        raise ShapeError(f"embedding: ids from {low} to {high}, the table has {rows} rows")
    return np.asarray(array, np.int32, order="C")


def tile_shape(executor: Executor) -> tuple[int, int]:
    """Vectors and rows of a matrix product's register tile, as the target has registers."""
    return (4, 6) if executor.target.vector_bits >= 512 else (1, 4)


class Ops:
    """The operations over one executor, which decides threads, processor level, and whether to run now or record."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    # ------------------------------------------------------------ matrix products

    def matmul(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
        """a @ b by NumPy's rules: the last two axes are matrices, leading axes broadcast, a vector gains and loses an
        axis.

        a: [..., m, k], b: [..., k, n] -> [..., m, n]. Raises ShapeError where k differs or leading axes do not
        broadcast.
        """
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
        out = self.executor.empty((*batch, m, n))  # [..., m, n]
        offsets = [item_offsets(x, batch) for x in (left, right)]
        if out.size:
            self._product(left, right, None, out, offsets, (m, k, n), packed=False)
        if vectors[0]:
            out = out[..., 0, :]
        return out[..., 0] if vectors[1] else out

    def linear(
        self, x: npt.ArrayLike, weight: PackedMatrix | QuantizedMatrix, bias: npt.ArrayLike | None = None
    ) -> Float32:
        """x @ weight + bias with a packed matrix.  x: [rows, inputs], bias: [outputs] -> [rows, outputs]."""
        if not isinstance(weight, PackedMatrix | QuantizedMatrix):
            raise ShapeError(f"linear takes a PackedMatrix, found {type(weight).__name__}; pack it, or use matmul")
        x = as_float32(x)
        bias = None if bias is None else as_float32(bias, "bias")
        if x.ndim != 2 or x.shape[1] != weight.inputs:
            raise ShapeError(f"linear: x {x.shape} meets a weight {weight.shape}; expected x [rows, {weight.inputs}]")
        if bias is not None and bias.shape != (weight.outputs,):
            raise ShapeError(
                f"linear: bias {bias.shape} meets a weight {weight.shape}; expected bias ({weight.outputs},)"
            )
        if isinstance(weight, QuantizedMatrix):
            return linear_quantized(self.executor, x, weight, bias)
        rows, inputs = x.shape
        out = self.executor.empty((rows, weight.outputs))  # [rows, outputs]
        zero = [np.zeros(1, np.int64)] * 2
        self._product(x, weight, bias, out, zero, (rows, inputs, weight.outputs), packed=True)
        return out

    def _product(
        self, x: Float32, weight: Float32 | PackedMatrix, bias: Float32 | None, out: Float32,
        offsets: list[npt.NDArray[np.int64]], shape: tuple[int, int, int], *, packed: bool,
    ) -> None:  # fmt: skip
        m, k, n = shape
        vectors, rows = tile_shape(self.executor)
        kind, data = (weight.kind, weight.data) if isinstance(weight, PackedMatrix) else (f32, weight)
        k_stride, block_stride = (BLOCK, k * BLOCK) if packed else (n, BLOCK)
        kernel = matmul.specialise(W=kind, VECTORS=vectors, TOKENS=rows, BIAS=bias is not None, PACKED=packed)
        depth = max(k, 1) if m <= rows else NEAR_BYTES // (BLOCK * byte_size(kind))
        arguments = (x, data, bias, out, *offsets, m, k, n, k, k_stride, block_stride, depth)
        self.executor.run(Launch(kernel, arguments, len(offsets[0]) * -(-n // BLOCK), out.size * k))

    # ------------------------------------------------------------ elementwise

    def _binary(self, operation: Operation, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
        x, y = as_float32(a, "a"), as_float32(b, "b")
        shape = broadcast_shape(x.shape, y.shape)
        out = self.executor.empty(shape)
        if out.size == 0:
            return out
        if x.shape == y.shape:
            kernel = elementwise.pairs.specialise(F=operation)
            self.executor.run(Launch(kernel, (x, y, out, out.size), -(-out.size // elementwise.CHUNK), out.size))
            return out
        width, steps, offsets = rows_of(x, y, shape)
        kernel = elementwise.binary.specialise(F=operation, X_STEP=steps[0], Y_STEP=steps[1])
        self.executor.run(Launch(kernel, (x, y, out, *offsets, width), len(offsets[0]), out.size))
        return out

    def add(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
        """a + b with broadcasting."""
        return self._binary(add, a, b)

    def subtract(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
        """a - b with broadcasting."""
        return self._binary(sub, a, b)

    def multiply(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
        """a * b with broadcasting."""
        return self._binary(mul, a, b)

    def divide(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
        """a / b with broadcasting."""
        return self._binary(div, a, b)

    def minimum(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
        """The smaller of a and b with broadcasting (b where either is NaN)."""
        return self._binary(minimum, a, b)

    def maximum(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Float32:
        """The larger of a and b with broadcasting (b where either is NaN)."""
        return self._binary(maximum, a, b)

    def _unary(self, function: Kernel | Operation, x: npt.ArrayLike) -> Float32:
        source = as_float32(x)
        out = self.executor.empty(source.shape)
        kernel = elementwise.unary.specialise(F=function)
        self.executor.run(Launch(kernel, (source, out, out.size), -(-out.size // elementwise.CHUNK), out.size))
        return out

    def exp(self, x: npt.ArrayLike) -> Float32:
        """e^x, within 1 ulp."""
        return self._unary(exp, x)

    def log(self, x: npt.ArrayLike) -> Float32:
        """Natural logarithm, within 1 ulp; NaN below 0, -infinity at 0."""
        return self._unary(log, x)

    def sqrt(self, x: npt.ArrayLike) -> Float32:
        """Square root, correctly rounded."""
        return self._unary(sqrt, x)

    def negative(self, x: npt.ArrayLike) -> Float32:
        """-x."""
        return self._unary(neg, x)

    def absolute(self, x: npt.ArrayLike) -> Float32:
        """|x|."""
        return self._unary(absolute, x)

    def sigmoid(self, x: npt.ArrayLike) -> Float32:
        """1 / (1 + e^-x)."""
        return self._unary(activation.sigmoid, x)

    def tanh(self, x: npt.ArrayLike) -> Float32:
        """Hyperbolic tangent, within 2 ulp."""
        return self._unary(activation.tanh_activation, x)

    def relu(self, x: npt.ArrayLike) -> Float32:
        """max(x, 0)."""
        return self._unary(activation.relu, x)

    def silu(self, x: npt.ArrayLike) -> Float32:
        """x * sigmoid(x)."""
        return self._unary(activation.silu, x)

    def gelu(self, x: npt.ArrayLike, approximate: str = "tanh") -> Float32:
        """GELU (Hendrycks & Gimpel, 2016): by `tanh` as GPT-2 uses it, or exact (`none`) by the error function."""
        if approximate not in ("tanh", "none"):
            raise ShapeError(f"gelu: approximate is 'tanh' or 'none', found {approximate!r}")
        return self._unary(activation.gelu_tanh if approximate == "tanh" else activation.gelu_exact, x)

    def activation(self, name: str, x: npt.ArrayLike) -> Float32:
        """The activation function that config.json names so."""
        if name not in ACTIVATIONS:
            raise ShapeError(f"activation {name!r} is unknown; choose from {', '.join(ACTIVATIONS)}")
        return self._unary(ACTIVATIONS[name], x)

    # ------------------------------------------------------------ rows

    def _softmax(self, x: npt.ArrayLike, axis: int, *, logarithm: bool) -> Float32:
        source = as_array(x, "x")
        if not isinstance(axis, int | np.integer) or not -source.ndim <= axis < source.ndim:
            raise ShapeError(
                f"softmax over axis {axis!r} of an array of shape {source.shape}, which has {source.ndim} axes"
            )
        rows = as_float32(np.moveaxis(source, axis, -1))
        out = self.executor.empty(rows.shape)
        if out.size:
            width = rows.shape[-1]
            self.executor.run(
                Launch(softmax.specialise(LOG=logarithm), (rows, out, width), out.size // width, 4 * out.size)
            )
        return np.moveaxis(out, -1, axis)

    def softmax(self, x: npt.ArrayLike, axis: int = -1) -> Float32:
        """exp(x - max) / sum along an axis."""
        return self._softmax(x, axis, logarithm=False)

    def log_softmax(self, x: npt.ArrayLike, axis: int = -1) -> Float32:
        """Logarithm of the softmax along an axis."""
        return self._softmax(x, axis, logarithm=True)

    def layer_norm(
        self, x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike, epsilon: float = 1e-5
    ) -> Float32:
        """Layer normalisation of the last axis (Ba et al., 2016).  x: [..., width], weight, bias: [width]."""
        source, scale, shift = as_float32(x), as_float32(weight, "weight"), as_float32(bias, "bias")
        if source.ndim == 0 or scale.shape != source.shape[-1:] or shift.shape != scale.shape:
            raise ShapeError(
                f"layer_norm: x {source.shape}, weight {scale.shape}, bias {shift.shape}; expected one last axis"
            )
        if not isinstance(epsilon, int | float | np.floating) or not epsilon >= 0:
            raise ShapeError(f"layer_norm: epsilon is a number of at least 0, found {epsilon!r}")
        out = self.executor.empty(source.shape)
        if out.size:
            width = source.shape[-1]
            arguments = (source, scale, shift, out, width, float(epsilon))
            self.executor.run(Launch(layer_norm.specialise(), arguments, out.size // width, 4 * out.size))
        return out

    def embedding(self, table: Table | PackedMatrix | QuantizedMatrix | npt.ArrayLike, ids: npt.ArrayLike) -> Float32:
        """Rows of a table.

        table: [rows, width] (an array, or a matrix packed as [width, rows]), ids: [...] -> [..., width].
        """
        if isinstance(table, QuantizedMatrix):
            index = as_ids(ids, table.outputs)
            return embedding_rows_q8(self.executor, table, index).reshape(*index.shape, table.inputs)
        if not isinstance(table, Table | PackedMatrix):
            array = as_float32(table, "table")
            if array.ndim != 2:
                raise ShapeError(f"embedding: the table has shape {array.shape}; expected [rows, width]")
            table = Table(array, f32, *array.shape)
        rows, width, block = (
            (table.outputs, table.inputs, BLOCK) if isinstance(table, PackedMatrix) else (table.rows, table.width, 1)
        )
        index = as_ids(ids, rows)
        out = self.executor.empty((index.size, width))  # [count, width]
        kernel = embedding.specialise(W=table.kind, BLOCK=block)
        self.executor.run(Launch(kernel, (table.data, index, out, width), index.size, out.size))
        return out.reshape(*index.shape, width)

    # ------------------------------------------------------------ attention

    def attention(
        self,
        q: npt.ArrayLike,
        k: npt.ArrayLike,
        v: npt.ArrayLike,
        cache: KVCache | None = None,
        layer: int = 0,
        scale: float | None = None,
    ) -> Float32:
        """Causal attention of new tokens over those in the cache and themselves (Vaswani et al., 2017).

        q, k, v: [tokens, n_head, head_dim], views of one row stride allowed -> [tokens, n_head, head_dim]. The new
        keys and values are written behind `cache.length`; the caller advances the cache after the last layer. scale:
        1/sqrt(head_dim).
        """
        q, k, v = one_stride(head_rows(q, "q"), head_rows(k, "k"), head_rows(v, "v"))
        tokens, n_head, head_dim = q.shape
        cache = cache or KVCache(1, n_head, head_dim, tokens)
        if (cache.n_head, cache.head_dim) != (n_head, head_dim) or not 0 <= layer < cache.n_layer:
            held = f"{cache.n_layer} layers of {cache.n_head} heads x {cache.head_dim}"
            raise ShapeError(f"attention: the cache has {held}; found layer {layer}, {n_head} heads x {head_dim}")
        cache.check_room(tokens)
        stride = q.strides[0] // 4
        keys, values = cache.keys[layer], cache.values[layer]
        new = (k, v, keys, values, stride, tokens, cache.counter, cache.capacity, head_dim, cache.padded)
        self.executor.run(Launch(append.specialise(), new, n_head, 2 * q.size))
        out = self.executor.empty((tokens, n_head, head_dim))
        queries = query_tile(tokens, self.executor.target.vector_bits)
        tasks = n_head * -(-tokens // queries)
        scratch = self.executor.empty((tasks, KEYS * queries))
        scaling = head_dim**-0.5 if scale is None else scale
        width, counter = n_head * head_dim, cache.counter
        arguments = (q, keys, values, out, scratch, stride, width, tokens, counter, cache.capacity, head_dim, scaling)
        kernel = attention.specialise(VECTORS=cache.padded // 16, QUERIES=queries)
        self.executor.run(Launch(kernel, arguments, tasks, 2 * q.size * cache.limit))
        return out


def head_rows(x: npt.ArrayLike, name: str) -> Float32:
    """An array [tokens, heads, head_dim] of float32 whose rows are contiguous, copied if they are not."""
    array: Float32 = x if isinstance(x, np.ndarray) and x.dtype == np.float32 else as_float32(x, name)
    if array.ndim != 3 or 0 in array.shape[1:]:
        raise ShapeError(f"attention: {name} has shape {array.shape}; expected [tokens, n_head, head_dim]")
    step, *within = array.strides
    whole = within == [4 * array.shape[2], 4] and step >= 0 and step % 4 == 0
    return array if whole else np.ascontiguousarray(array)


def one_stride(q: Float32, k: Float32, v: Float32) -> tuple[Float32, Float32, Float32]:
    """The three of one shape, copied where their rows lie at different distances."""
    if k.shape != q.shape or v.shape != q.shape:
        raise ShapeError(f"attention: q {q.shape}, k {k.shape}, v {v.shape} must be alike")
    if len(q) > 1 and not q.strides[0] == k.strides[0] == v.strides[0]:
        q, k, v = (np.ascontiguousarray(x) for x in (q, k, v))
    return q, k, v


def broadcast_shape(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """The shape that two shapes broadcast to."""
    try:
        return np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        raise ShapeError(f"shapes {tuple(a)} and {tuple(b)} do not broadcast") from None


def item_offsets(x: Float32, batch: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Where each matrix of a broadcast batch begins, in elements."""
    step = x.shape[-2] * x.shape[-1]
    count = int(np.prod(x.shape[:-2], dtype=np.int64))
    own = (np.arange(count, dtype=np.int64) * step).reshape(x.shape[:-2])
    return np.ascontiguousarray(np.broadcast_to(own, batch)).reshape(-1)


def rows_of(x: Float32, y: Float32, shape: tuple[int, ...]) -> tuple[int, tuple[int, int], list[npt.NDArray[np.int64]]]:
    """A broadcast pair as rows of the last axis: its width, each operand's step along it (0 or 1), where rows begin."""
    width = shape[-1]
    offsets, steps = [], []
    for array in (x, y):
        full = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        steps.append(1 if full.shape[-1] == width and width > 1 else 0)
        starts = (np.arange(full[..., 0].size, dtype=np.int64) * full.shape[-1]).reshape(full.shape[:-1])
        offsets.append(np.ascontiguousarray(np.broadcast_to(starts, shape[:-1])).reshape(-1))
    return width, (steps[0], steps[1]), offsets
