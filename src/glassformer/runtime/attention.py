"""Causal attention over caches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glassformer.kernels.append import append
from glassformer.kernels.attention import attention, query_rows, scratch_size, wide_vectors
from glassformer.kernels.attention_mix import attention_mix
from glassformer.kernels.capture import ALIGNED
from glassformer.kernels.pages import KEYS
from glassformer.runtime.arrays import Float32, ShapeError, as_float32
from glassformer.runtime.batch import Batch, batch_of
from glassformer.runtime.capture import Square, Target, pattern_of
from glassformer.runtime.executor import Cost, Executor, Launch
from glassformer.runtime.frames import FrameLayout, Place
from glassformer.runtime.kv_cache import CACHE_KINDS, KVCache, Layout
from glassformer.simd.types import byte_size


def attend(
    executor: Executor,
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    cache: KVCache | None,
    layer: int,
    scale: float | None,
) -> Float32:
    """Attention of one sequence's new tokens; see `Ops.attention`."""
    q, k, v = one_stride(head_rows(q, "q"), head_rows(k, "k"), head_rows(v, "v"))
    tokens, n_head, head_dim = q.shape
    cache = cache or KVCache.alone(Layout(1, n_head, head_dim), tokens)
    layout = cache.layout
    if (layout.n_head, layout.head_dim) != (n_head, head_dim) or not 0 <= layer < layout.n_layer:
        held = f"{layout.n_layer} layers of {layout.n_head} heads x {layout.head_dim}"
        raise ShapeError(f"attention: the cache has {held}; found layer {layer}, {n_head} heads x {head_dim}")
    cache.reserve(tokens)
    if tokens == 0:
        return executor.empty(q.shape)
    batch = batch_of(cache, tokens, executor.target.vector_bits)
    return attend_batch(executor, q, k, v, batch, layer, head_dim**-0.5 if scale is None else scale)


def attend_batch(
    executor: Executor, q: Float32, k: Float32, v: Float32, batch: Batch, layer: int, scale: float,
    scores: Target | None = None, pattern: Target | None = None,
) -> Float32:  # fmt: skip
    """Attention of a batch's rows, each over its own sequence.  q, k, v: [rows, n_head, head_dim] of one row stride.

    scores, pattern: where those go that are computed on the way; one frame, where there are both.
    """
    form, layout = batch.form, batch.form.layout
    rows, n_head, head_dim = q.shape
    kind, stride = CACHE_KINDS[layout.kind], q.strides[0] // 4
    held = {"W": kind, "QUANTIZED": layout.quantized}
    where = (layer * layout.layer_stride, layout.block_stride, layout.chunk_stride, head_dim)
    tasks = n_head * form.tiles
    if not form.one_tile:
        writing = (k, v, batch.memory, batch.tiles, batch.table, stride, n_head, *where, layout.padded)
        cost = Cost(0, k.size * (8 + 2 * byte_size(kind)))
        executor.run(Launch(append.specialise(**held), writing, tasks, 2 * q.size, cost))
    out = executor.empty((rows, n_head, head_dim))  # [rows, n_head, head_dim]
    vectors = layout.padded // 16
    queries = query_rows(form.tile_rows)
    size = scratch_size(form.tile_rows, queries, vectors)
    kept = scores or pattern
    size += -(-form.tile_rows // queries) * queries * form.blocks if pattern else 0
    scratch = executor.empty((tasks, size))  # [tasks, size]
    width = n_head * head_dim
    kernel = attention.specialise(
        VECTORS=vectors,
        QUERIES=queries,
        WIDE=wide_vectors(queries, executor.target.vector_bits),
        APPEND=form.one_tile,
        SCORES=scores is not None,
        PATTERN=pattern is not None,
        **held,
    )
    capture = (None, None, None) if kept is None else (kept.frame, kept.table, kept.targets)
    numbers = (0 if target is None else target.number for target in (scores, pattern))
    arguments = (
        q, k, v, batch.memory, out, scratch, batch.tiles, batch.table, stride, width, form.tiles, size, *where, scale,
        form.blocks, *capture, *numbers,
    )  # fmt: skip
    # A query and a key cost a multiplication and an addition per dimension, and so does the sum of values.
    cost = Cost(0, 12 * q.size, 4 * width, 2 * width * byte_size(kind))
    executor.run(Launch(kernel, arguments, tasks, 2 * q.size * form.blocks * KEYS, cost))
    return out


def square(executor: Executor, batch: Batch, n_head: int) -> Square:
    """Room for a number for each head, each row and each position that the batch's form allows."""
    form = batch.form
    keys = form.blocks * KEYS
    data = executor.empty((n_head, form.rows, keys))  # [n_head, rows, keys]
    table = FrameLayout({"": Place((n_head,), square=True)}, form.rows, keys).table
    table[ALIGNED] = 0  # not where arrays are NumPy's
    return Square(data, Target(data, table, np.arange(form.rows), 0))


def attention_scores(
    executor: Executor, q: Float32, k: Float32, v: Float32, batch: Batch, layer: int, scale: float
) -> Square:
    """The scores alone, keys and values joining the cache; what attention makes of them besides is given up."""
    scores = square(executor, batch, q.shape[1])
    attend_batch(executor, q, k, v, batch, layer, scale, scores.target)
    return scores


def attention_pattern(executor: Executor, scores: Square, batch: Batch) -> Square:
    """The softmax of scores, each row's up to its own position."""
    n_head = len(scores.data)
    made = square(executor, batch, n_head)
    pattern_of(executor, scores.target, made.target, batch.positions, n_head, scores.data.size)
    return made


def mix(executor: Executor, weights: Square, batch: Batch, layer: int) -> Float32:
    """The values of the caches, mixed by weights: [rows, n_head, head_dim]."""
    form, layout = batch.form, batch.form.layout
    n_head, rows, pitch = weights.data.shape
    out = executor.empty((rows, n_head, layout.head_dim))  # [rows, n_head, head_dim]
    kernel = attention_mix.specialise(
        VECTORS=layout.padded // 16, W=CACHE_KINDS[layout.kind], QUANTIZED=layout.quantized
    )
    where = (layer * layout.layer_stride, layout.block_stride, layout.chunk_stride, layout.head_dim)
    width = n_head * layout.head_dim
    arguments = (
        weights.data, batch.memory, out, batch.tiles, batch.table, rows, pitch, width, form.tiles, *where,
    )  # fmt: skip
    cost = Cost(0, 4 * weights.data.size, 2 * width, width * byte_size(CACHE_KINDS[layout.kind]))
    executor.run(Launch(kernel, arguments, n_head * form.tiles, weights.data.size * layout.head_dim, cost))
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
