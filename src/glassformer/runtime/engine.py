"""The tensor engine: operations on NumPy arrays, through compiled kernels on all threads.

Every result is a new float32 array. Inputs of other real types are converted to float32. Each element of a result is
computed in one fixed order, so results are the same bits for any number of threads. NaN and infinities pass as IEEE
754 says.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glassformer.kernels import activation, elementwise
from glassformer.kernels.activation import identity
from glassformer.kernels.embedding import embedding
from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.softmax import softmax
from glassformer.runtime.arrays import (
    Float32,
    ShapeError,
    as_array,
    as_float32,
    as_ids,
    broadcast_shape,
    rows_of,
)
from glassformer.runtime.attention import (
    attend,
    attend_batch,
    attention_pattern,
    attention_scores,
    head_rows,
    mix,
    one_stride,
)
from glassformer.runtime.batch import Batch
from glassformer.runtime.capture import Change, Square, Target, advance, change, keep
from glassformer.runtime.epilogue import Epilogue
from glassformer.runtime.executor import Cost, Executor, Launch
from glassformer.runtime.kv_cache import KVCache
from glassformer.runtime.linear import linear, linear_for, matmul_arrays
from glassformer.runtime.normalization import deviations, normalize, normalize_q8
from glassformer.runtime.packed import PackedMatrix, Table
from glassformer.runtime.paired import PairedMatrix
from glassformer.runtime.quantized import QuantizedMatrix, QuantizedRows, embedding_rows_q8
from glassformer.simd import Kernel, absolute, add, div, exp, log, maximum, minimum, mul, neg, sqrt, sub
from glassformer.simd.table import Operation
from glassformer.simd.types import byte_size, f32

ACTIVATIONS: dict[str, Kernel] = {
    "gelu_new": activation.gelu_tanh, "gelu": activation.gelu_exact, "relu": activation.relu, "silu": activation.silu,
    "tanh": activation.tanh_activation,
}  # fmt: skip


def epilogue_of(bias: npt.ArrayLike | None, activation: str | None, residual: npt.ArrayLike | None) -> Epilogue:
    """What is to happen to a product. ShapeError for an activation that there is not."""
    if activation is not None and activation not in ACTIVATIONS:
        raise ShapeError(f"activation {activation!r} is unknown; choose from {', '.join(ACTIVATIONS)}")
    return Epilogue(
        None if bias is None else as_float32(bias, "bias"),
        identity if activation is None else ACTIVATIONS[activation],
        None if residual is None else as_float32(residual, "residual"),
    )


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
        return matmul_arrays(self.executor, a, b)

    def linear(
        self,
        x: npt.ArrayLike | QuantizedRows,
        weight: PackedMatrix | QuantizedMatrix,
        bias: npt.ArrayLike | None = None,
        *,
        activation: str | None = None,
        residual: npt.ArrayLike | None = None,
    ) -> Float32:
        """residual + activation(x @ weight + bias) with a packed matrix, to the bits of the separate operations.

        x: [rows, inputs] (or quantised rows, for a quantised weight), bias: [outputs], residual: [rows, outputs] ->
        [rows, outputs]. activation: a name that `Ops.activation` takes.
        """
        return linear(self.executor, x, weight, epilogue_of(bias, activation, residual))

    def linear_for(
        self, matrix: PackedMatrix | QuantizedMatrix, x: npt.ArrayLike | QuantizedRows,
        weight: PackedMatrix | QuantizedMatrix, bias: npt.ArrayLike | None = None, *, activation: str | None = None,
    ) -> Float32 | QuantizedRows:  # fmt: skip
        """The same as `linear` with another matrix takes it best: in eight bits where both are quantised."""
        return linear_for(self.executor, matrix, x, weight, epilogue_of(bias, activation, None))

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
        return normalize(self.executor, x, weight, bias, epsilon)

    def deviation(self, x: npt.ArrayLike, epsilon: float = 1e-5) -> Float32:
        """What `layer_norm` divides by: sqrt(variance + epsilon) of the last axis.  [..., width] -> [..., 1]."""
        return deviations(self.executor, x, epsilon)

    def layer_norm_for(
        self, matrix: PackedMatrix | QuantizedMatrix, x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike,
        epsilon: float = 1e-5,
    ) -> Float32 | QuantizedRows:  # fmt: skip
        """The same as `linear` with a matrix takes it best: in eight bits where the matrix is quantised."""
        if isinstance(matrix, QuantizedMatrix):
            return normalize_q8(self.executor, x, weight, bias, epsilon)
        return normalize(self.executor, x, weight, bias, epsilon)

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
        if isinstance(table, PairedMatrix):
            raise ShapeError("embedding: a matrix of bf16 pairs is for products alone; pack the table as bf16")
        rows, width, block = (
            (table.outputs, table.inputs, BLOCK) if isinstance(table, PackedMatrix) else (table.rows, table.width, 1)
        )
        index = as_ids(ids, rows)
        out = self.executor.empty((index.size, width))  # [count, width]
        kernel = embedding.specialise(W=table.kind, BLOCK=block)
        cost = Cost(0, out.size * (4 + byte_size(table.kind)))
        self.executor.run(Launch(kernel, (table.data, index, out, width), index.size, out.size, cost))
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
        return attend(self.executor, q, k, v, cache, layer, scale)

    def attention_batch(
        self, q: Float32, k: Float32, v: Float32, batch: Batch, layer: int, scale: float | None = None,
        *, scores: Target | None = None, pattern: Target | None = None,
    ) -> Float32:  # fmt: skip
        """The same for rows of several sequences at once, each over its own cache.

        q, k, v: [rows, n_head, head_dim], views of one row stride -> [rows, n_head, head_dim]. scores,
        pattern: where the scaled and masked scores go, and the softmax of them; they change no bit of the result.
        """
        q, k, v = one_stride(head_rows(q, "q"), head_rows(k, "k"), head_rows(v, "v"))
        scale = q.shape[2] ** -0.5 if scale is None else scale
        return attend_batch(self.executor, q, k, v, batch, layer, scale, scores, pattern)

    def attention_scores(self, q: Float32, k: Float32, v: Float32, batch: Batch, layer: int, scale: float) -> Square:
        """The first third of `attention_batch` by itself: scaled scores [n_head, rows, keys], -infinity where masked.

        Keys and values join the caches.
        """
        q, k, v = one_stride(head_rows(q, "q"), head_rows(k, "k"), head_rows(v, "v"))
        return attention_scores(self.executor, q, k, v, batch, layer, scale)

    def attention_pattern(self, scores: Square, batch: Batch) -> Square:
        """The second third: the softmax of each row's scores up to its own position, 0 behind."""
        return attention_pattern(self.executor, scores, batch)

    def attention_mix(self, weights: Square, batch: Batch, layer: int) -> Float32:
        """The last third: the caches' values mixed by weights [n_head, rows, keys] -> [rows, n_head, head_dim].

        Weights of positions behind a row's own are not looked at. Within 1e-6 relative of `attention_batch`, which
        computes the softmax while it mixes.
        """
        return mix(self.executor, weights, batch, layer)

    # ------------------------------------------------------------ looking inside

    def keep(self, x: Float32 | Square, target: Target) -> None:
        """Copy the rows of x that are asked for into a frame.  x: [rows, ...], rows contiguous, at any distance."""
        keep(self.executor, x, target)

    def next_frame(self, table: npt.NDArray[np.int64]) -> None:
        """Let a frame's table say where the next one lies, for a step that follows without coming back to Python."""
        advance(self.executor, table)

    def edit(self, x: Float32 | Square, wanted: Change) -> None:
        """Change rows of x in place, as a small array says when the launch runs."""
        change(self.executor, x, wanted)
