"""Attention with a KV cache against float64, whole and in chunks, around the borders of the kernel's blocks."""

from typing import Any

import float64_references as reference
import numpy as np
import pytest
from float64_references import LARGEST_NMSE, as_kernels_see, nmse

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops
from glassformer.runtime.kv_cache import CacheError, KVCache, Layout

HEAD_DIMS = [1, 8, 16, 20, 64, 80]


def chunked(ops: Ops, q: Any, k: Any, v: Any, chunk: int, cache: KVCache, layer: int = 0) -> Any:
    """The attention of a sequence fed so many tokens at a time."""
    parts = []
    for i in range(0, len(q), chunk):
        parts.append(ops.attention(*(x[i : i + chunk] for x in (q, k, v)), cache, layer))
        cache.advance(len(parts[-1]))
    return np.concatenate(parts)


@pytest.mark.parametrize("head_dim", HEAD_DIMS)
@pytest.mark.parametrize("tokens", [1, 2, 16, 63, 64, 65, 129])
def test_values_and_the_same_bits_in_chunks(ops: Ops, normal: Any, head_dim: int, tokens: int) -> None:
    q, k, v = (normal(tokens, 3, head_dim) for _ in range(3))
    whole = ops.attention(q, k, v)
    assert nmse(whole, reference.attention(*(as_kernels_see(x) for x in (q, k, v)))) <= LARGEST_NMSE
    for chunk in (1, 7, 64):
        parts = chunked(ops, q, k, v, chunk, KVCache.alone(Layout(1, 3, head_dim), tokens))
        assert parts.tobytes() == whole.tobytes(), f"chunks of {chunk}"


def test_room_to_spare_changes_nothing(ops: Ops, normal: Any) -> None:
    q, k, v = (normal(70, 2, 20) for _ in range(3))
    whole = ops.attention(q, k, v)
    for limit in (70, 71, 128, 1000):
        assert chunked(ops, q, k, v, 33, KVCache.alone(Layout(1, 2, 20), limit)).tobytes() == whole.tobytes()


def test_layers_do_not_mix(ops: Ops, normal: Any) -> None:
    cache = KVCache.alone(Layout(3, 2, 16), 40)
    inputs = [[normal(20, 2, 16) for _ in range(3)] for _ in range(3)]
    results = [ops.attention(*qkv, cache, layer) for layer, qkv in enumerate(inputs)]
    for qkv, result in zip(inputs, results, strict=True):
        assert result.tobytes() == ops.attention(*qkv).tobytes()


def test_a_cut_cache_forgets(ops: Ops, normal: Any) -> None:
    """What lay behind the cut, NaN even, leaves no trace."""
    q, k, v = (normal(80, 2, 20) for _ in range(3))
    clean, cache = ops.attention(q, k, v), KVCache.alone(Layout(1, 2, 20), 100)
    chunked(ops, q[:50], k[:50], v[:50], 50, cache)
    spoilt = np.full((30, 2, 20), np.nan, np.float32)
    chunked(ops, spoilt, spoilt, spoilt, 30, cache)
    cache.truncate(50)
    assert chunked(ops, q[50:], k[50:], v[50:], 7, cache).tobytes() == clean[50:].tobytes()


@pytest.mark.parametrize("scale", [None, 1.0, 0.125, 0.0, 1 / 3])
def test_scale(ops: Ops, normal: Any, scale: float | None) -> None:
    q, k, v = (normal(40, 2, 16) for _ in range(3))
    exact = reference.attention(*(as_kernels_see(x) for x in (q, k, v)), scale)
    assert nmse(ops.attention(q, k, v, scale=scale), exact) <= LARGEST_NMSE


@pytest.mark.parametrize("size", [1e-20, 1.0, 30.0, 1e15])
def test_scores_of_every_size(ops: Ops, normal: Any, size: float) -> None:
    q, k, v = normal(130, 1, 16) * np.float32(size), normal(130, 1, 16), normal(130, 1, 16)
    exact = reference.attention(*(as_kernels_see(x) for x in (q, k, v)))
    # Scores of this size carry their own rounding into the exponent; what remains is a choice of one value.
    assert nmse(ops.attention(q, k, v), exact) <= (LARGEST_NMSE if size <= 30 else 1e-3)


def test_layouts_and_types(ops: Ops, normal: Any) -> None:
    """Views of one projection [tokens, 3, heads, head_dim], as models pass them, and anything else."""
    qkv = normal(33, 3, 2, 16)
    q, k, v = qkv[:, 0], qkv[:, 1], qkv[:, 2]
    expected = ops.attention(*(np.ascontiguousarray(x) for x in (q, k, v)))
    long = np.repeat(np.asarray(k), 2, axis=0)[::2]
    for views in (
        (q, k, v), (np.ascontiguousarray(q), k, v), (q, long, np.asfortranarray(v)), (q.astype(np.float64),
        k, v.tolist()),
        (q[::-1].copy()[::-1], k, v), (np.ascontiguousarray(q.transpose(1, 0, 2)).transpose(1, 0, 2), k, v),
    ):  # fmt: skip
        assert ops.attention(*views).tobytes() == expected.tobytes()
    same = np.broadcast_to(normal(1, 2, 16), (5, 2, 16))
    assert nmse(ops.attention(same, same, same), np.asarray(same, np.float64)) <= LARGEST_NMSE


def test_no_tokens(ops: Ops) -> None:
    cache = KVCache.alone(Layout(1, 2, 16), 10)
    assert ops.attention(*[np.zeros((0, 2, 16), np.float32)] * 3, cache).shape == (0, 2, 16)


def test_nan_reaches_no_earlier_token_and_no_other_head(ops: Ops, normal: Any) -> None:
    q, k, v = (normal(70, 2, 16) for _ in range(3))
    clean = ops.attention(q, k, v)
    k[66, 1] = np.nan
    result = ops.attention(q, k, v)
    assert np.isnan(result[66:, 1]).all()
    np.testing.assert_array_equal(result[:66], clean[:66])
    np.testing.assert_array_equal(result[:, 0], clean[:, 0])


def test_a_full_cache(ops: Ops, normal: Any) -> None:
    cache = KVCache.alone(Layout(1, 2, 16), 5)
    x = normal(6, 2, 16)
    with pytest.raises(CacheError, match=r"holds 0 of 5 tokens; 6 more"):
        ops.attention(x, x, x, cache)
    chunked(ops, x[:5], x[:5], x[:5], 5, cache)
    with pytest.raises(CacheError, match=r"holds 5 of 5 tokens; 1 more"):
        ops.attention(x[:1], x[:1], x[:1], cache)
    for length in (-1, 6):
        with pytest.raises(CacheError, match=f"5 tokens to {length}"):
            cache.truncate(length)


@pytest.mark.parametrize(("q", "k", "v"), [
    ((2, 3, 4), (2, 3, 5), (2, 3, 4)), ((2, 3, 4), (2, 3, 4), (1, 3, 4)), ((2, 3), (2, 3), (2, 3)), ((), (), ()),
    ((2, 3, 0), (2, 3, 0), (2, 3, 0)), ((2, 0, 3), (2, 0, 3), (2, 0, 3)), ((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4)),
])  # fmt: skip
def test_an_error_states_the_shapes(ops: Ops, q: Any, k: Any, v: Any) -> None:
    with pytest.raises(ShapeError) as caught:
        ops.attention(np.zeros(q), np.zeros(k), np.zeros(v))
    assert str(q) in str(caught.value)
    assert str(k) in str(caught.value)


@pytest.mark.parametrize("layer", [-1, 2])
def test_a_cache_of_another_shape(ops: Ops, normal: Any, layer: int) -> None:
    x = normal(2, 3, 16)
    with pytest.raises(ShapeError, match=rf"2 layers of 3 heads x 16; found layer {layer}, 3 heads x 16"):
        ops.attention(x, x, x, KVCache.alone(Layout(2, 3, 16), 10), layer)
    with pytest.raises(ShapeError, match=r"2 layers of 4 heads x 16; found layer 0, 3 heads x 16"):
        ops.attention(x, x, x, KVCache.alone(Layout(2, 4, 16), 10))


@pytest.mark.parametrize("damaged", [1, 64, 65])
def test_a_damaged_value_reaches_no_earlier_query(ops: Ops, damaged: int) -> None:
    q, k, v = (np.random.default_rng(seed).standard_normal((70, 2, 16), dtype=np.float32) for seed in range(3))
    whole = ops.attention(q, k, v)
    v[damaged] = np.nan
    found = ops.attention(q, k, v)
    assert np.array_equal(found[:damaged].view(np.uint32), whole[:damaged].view(np.uint32))
    assert np.isnan(found[damaged:]).all()


@pytest.mark.parametrize("tokens", [256, 259, 321])
def test_long_prompts_take_more_queries_at_a_time_and_give_the_same_bits(ops: Ops, normal: Any, tokens: int) -> None:
    q, k, v = (normal(tokens, 2, 20) for _ in range(3))
    whole = ops.attention(q, k, v)
    assert nmse(whole, reference.attention(*(as_kernels_see(x) for x in (q, k, v)))) <= LARGEST_NMSE
    for chunk in (1, 100):
        parts = chunked(ops, q, k, v, chunk, KVCache.alone(Layout(1, 2, 20), tokens))
        assert parts.tobytes() == whole.tobytes(), f"chunks of {chunk}"
