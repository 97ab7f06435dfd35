"""Attention with GPT-2 124M's 12 heads of 64: one new token behind a cache (decode), and whole prompts (prefill).

    python benchmarks/kernels/attention.py [--threads N] [--seconds 0.5] [--json]

The keys and values of all 12 layers are taken in turns in decode, as a model does.
"""

import numpy as np
from measure import Array, Case, main, normal

from glassformer.runtime.engine import Ops
from glassformer.runtime.kv_cache import KVCache, Layout

HEADS, HEAD_DIM, LAYERS = 12, 64, 12


def case(ops: Ops, past: int, tokens: int) -> Case:
    q, k, v = (normal(past + tokens, HEADS, HEAD_DIM) * np.float32(0.5 + i) for i in range(3))
    cache = KVCache.alone(Layout(LAYERS, HEADS, HEAD_DIM), past + tokens)
    layers = range(LAYERS if past else 1)
    if past:
        for layer in layers:
            ops.attention(q[:past], k[:past], v[:past], cache, layer)
        cache.advance(past)
    new_q, new_k, new_v = q[past:], k[past:], v[past:]

    def exact() -> Array:
        a, b, c = (x.astype(np.float64) for x in (q[past:], k, v))
        scores = np.einsum("thd,shd->hts", a, b) / np.sqrt(HEAD_DIM)
        scores[:, np.arange(past + tokens)[None, :] > past + np.arange(tokens)[:, None]] = -np.inf
        power = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(np.einsum("hts,shd->thd", power / power.sum(axis=-1, keepdims=True), c))

    pairs = tokens * past + tokens * (tokens + 1) // 2  # of a query and a key that it sees
    runs = [lambda layer=layer: ops.attention(new_q, new_k, new_v, cache, layer) for layer in layers]
    moved = 4 * HEADS * HEAD_DIM * (2 * (past + tokens) + 4 * tokens)
    return Case(f"{tokens} behind {past}", runs, exact, moved, 4 * HEADS * HEAD_DIM * pairs)


if __name__ == "__main__":
    main(
        "attention",
        __doc__,
        lambda ops: [case(ops, *s) for s in ((63, 1), (255, 1), (1023, 1), (0, 128), (0, 512), (512, 128))],
    )
