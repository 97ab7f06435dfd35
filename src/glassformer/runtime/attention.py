"""Causal attention over a cache."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glassformer.kernels.attention import KEYS, append, attention, query_tile
from glassformer.runtime.arrays import Float32, ShapeError, as_float32
from glassformer.runtime.executor import Executor, Launch
from glassformer.runtime.kv_cache import KVCache


def attend(
    executor: Executor,
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    cache: KVCache | None,
    layer: int,
    scale: float | None,
) -> Float32:
    """Attention of new tokens; see `Ops.attention`."""
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
    executor.run(Launch(append.specialise(), new, n_head, 2 * q.size))
    out = executor.empty((tokens, n_head, head_dim))
    queries = query_tile(tokens, executor.target.vector_bits)
    tasks = n_head * -(-tokens // queries)
    scratch = executor.empty((tasks, KEYS * queries))
    scaling = head_dim**-0.5 if scale is None else scale
    width, counter = n_head * head_dim, cache.counter
    arguments = (q, keys, values, out, scratch, stride, width, tokens, counter, cache.capacity, head_dim, scaling)
    kernel = attention.specialise(VECTORS=cache.padded // 16, QUERIES=queries)
    executor.run(Launch(kernel, arguments, tasks, 2 * q.size * cache.limit))
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
