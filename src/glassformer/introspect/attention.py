"""Attention of single heads, from the queries, keys and values of a run: what a page shows one head at a time.

All patterns of a long text take far more memory than the queries and keys that they come of, so they are made when
somebody looks. Source: Vaswani et al., 2017, "Attention Is All You Need", equation 1, with the causal mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.introspect.networks import network_of

if TYPE_CHECKING:
    from glassformer.introspect.cache import ActivationCache

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def attention_scores(cache: ActivationCache, layer: int, head: int, queries: Int64 | None = None) -> Float32:
    """Scaled scores of a head, minus infinity where a key lies after its query: [queries, keys].

    Keys are rounded as the network's cache holds them. The cache holds q and k of every position.

    Args:
        queries: positions; None: all.
    """
    network = network_of(cache.model)
    q, k = cache["q", layer][:, head], cache["k", layer][:, head]  # [tokens, head_dim]
    if network.layout.kind == "f16":
        k = k.astype(np.float16).astype(np.float32)
    places = np.arange(len(q)) if queries is None else queries
    q = q[places] * np.float32(network.scale(layer))
    scores: Float32 = np.matmul(q, k.T, dtype=np.float32)  # [queries, keys]
    scores[np.arange(len(k)) > places[:, None]] = -np.inf
    return scores


def attention_pattern(cache: ActivationCache, layer: int, head: int, queries: Int64 | None = None) -> Float32:
    """What each query takes of each key, rows of sum 1: [queries, keys]."""
    weights = attention_scores(cache, layer, head, queries)
    weights -= weights.max(-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(-1, keepdims=True)
    return weights


def value_lengths(cache: ActivationCache, layer: int, head: int) -> Float32:
    """The lengths of a head's value vectors: [keys].

    The pattern times these says how much is moved, and not only how much is looked at (Kobayashi et al., 2020,
    "Attention is Not Only a Weight", before the output projection).
    """
    lengths: Float32 = np.linalg.norm(cache["v", layer][:, head], axis=-1)
    return lengths
