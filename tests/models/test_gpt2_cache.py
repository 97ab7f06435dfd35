"""The KV cache: a text whole, in chunks or token by token gives the same bits, and the cache keeps its bounds."""

import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import checkpoint, random_ids, save
from gpt2_twin import error, logits

from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.models.observer import Observation
from glassformer.runtime import plan
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.kv_cache import CacheError, KVCache, Layout, Spare

TOKENS = 150  # more than two blocks of the attention kernel
CHANGES: dict[str, object] = {"n_positions": 160, "n_embd": 44, "n_head": 2, "vocab_size": 131, "n_layer": 3}
Float32 = npt.NDArray[np.float32]


# The type in the file, the types in memory of weights and cache, how far logits may be from the exact ones, and what
# changes for it.
HELD: dict[str, tuple[str, str, str, float, dict[str, object]]] = {
    "F32": ("F32", "auto", "auto", 3e-6, {}),
    "F16": ("F16", "auto", "auto", 1e-3, {}),
    "q8": ("F32", "q8", "auto", 3e-2, {"n_embd": 64}),
    "F32, cache f16": ("F32", "auto", "f16", 1e-3, {}),
    "F32, cache q8": ("F32", "auto", "q8", 2e-2, {}),
}


@pytest.fixture(scope="module", params=HELD)
def held(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def network(held: str, tmp_path_factory: pytest.TempPathFactory) -> GPT2:
    stored, dtype, cache_dtype, _, more = HELD[held]
    drawn = checkpoint(CHANGES | more, seed=7)
    folder = save(tmp_path_factory.mktemp("cache"), drawn.values, drawn.tensors, dtype=stored)
    network = load_network(folder, dtype=dtype)
    return GPT2(network.config, network.weights, network.ops, cache_dtype)


@pytest.fixture(scope="module")
def ids() -> npt.NDArray[np.int32]:
    return np.array(random_ids(7, TOKENS, 131), np.int32)


@pytest.fixture(scope="module")
def whole(network: GPT2, ids: npt.NDArray[np.int32]) -> Float32:
    return network.forward(ids, network.new_cache(TOKENS), last_only=False)


SIZES = {"f32": 4, "f16": 2, "q8": 1}  # bytes of a number in the cache


def pieces(ids: npt.NDArray[np.int32], sizes: Sequence[int]) -> Iterator[npt.NDArray[np.int32]]:
    """The ids in chunks of the given sizes, over and over."""
    first = turn = 0
    while first < len(ids):
        yield ids[first : first + sizes[turn % len(sizes)]]
        first, turn = first + sizes[turn % len(sizes)], turn + 1


def test_the_whole_text_is_right(held: str, ids: npt.NDArray[np.int32], whole: Float32) -> None:
    _, _, _, near, more = HELD[held]
    drawn = checkpoint(CHANGES | more, seed=7)
    assert error(whole, logits(drawn.config, drawn.tensors, ids.tolist())) < near


@pytest.mark.parametrize("sizes", [[1], [7], [64], [150], [3, 1, 60, 2], [63, 1], [65]], ids=str)
def test_chunks_give_the_same_bits(sizes: list[int], network: GPT2, ids: npt.NDArray[np.int32], whole: Float32) -> None:
    cache = network.new_cache(TOKENS)
    rows = [network.forward(chunk, cache, last_only=False) for chunk in pieces(ids, sizes)]
    assert np.array_equal(np.concatenate(rows), whole)
    assert cache.length == TOKENS


@pytest.mark.parametrize("prompt", [1, 16, 63, 64, 65, 149])
def test_decoding_after_a_prompt_gives_the_same_bits(
    prompt: int, network: GPT2, ids: npt.NDArray[np.int32], whole: Float32
) -> None:
    cache = network.new_cache(TOKENS)
    last = network.forward(ids[:prompt], cache)
    assert last.shape == (1, network.config.vocab_size)
    assert np.array_equal(last, whole[prompt - 1 : prompt])
    for place in range(prompt, min(prompt + 10, TOKENS)):
        assert np.array_equal(network.forward(ids[place : place + 1], cache)[0], whole[place])


@pytest.mark.parametrize("capacity", [TOKENS, TOKENS + 1, 160, 1000])
def test_a_larger_cache_changes_no_bit(
    capacity: int, network: GPT2, ids: npt.NDArray[np.int32], whole: Float32
) -> None:
    cache = network.new_cache(capacity)
    assert np.array_equal(network.forward(ids, cache, last_only=False), whole)
    assert cache.nbytes >= 3 * 2 * SIZES[network.layout.kind] * network.config.n_embd * capacity


def test_a_full_cache_refuses_more_and_keeps_what_it_has(network: GPT2, ids: npt.NDArray[np.int32]) -> None:
    cache = network.new_cache(10)
    network.forward(ids[:9], cache)
    with pytest.raises(CacheError, match=r"holds 9 of 10 tokens; 2 more do not fit"):
        network.forward(ids[9:11], cache)
    assert cache.length == 9
    expected = network.forward(ids[:10], network.new_cache(10))
    assert np.array_equal(network.forward(ids[9:10], cache), expected)
    with pytest.raises(CacheError, match=r"holds 10 of 10 tokens; 1 more"):
        network.forward(ids[10:11], cache)


def test_truncating_forgets_and_another_text_follows(network: GPT2, ids: npt.NDArray[np.int32], whole: Float32) -> None:
    cache = network.new_cache(TOKENS)
    network.forward(ids[::-1].copy(), cache)
    for kept in (149, 64, 63, 1):
        cache.truncate(kept)
        assert cache.length == kept
    cache.truncate(0)
    network.forward(ids[:40], cache)
    network.forward(ids[::-1][:60].copy(), cache)
    cache.truncate(40)
    assert np.array_equal(network.forward(ids[40:], cache, last_only=False), whole[40:])


@pytest.mark.parametrize("length", [-1, 6])
def test_truncating_beyond_the_ends_is_an_error(length: int, network: GPT2, ids: npt.NDArray[np.int32]) -> None:
    cache = network.new_cache(10)
    network.forward(ids[:5], cache)
    with pytest.raises(CacheError, match=f"cache of 5 tokens to {length}"):
        cache.truncate(length)
    assert cache.length == 5


def test_two_caches_do_not_meet(network: GPT2, ids: npt.NDArray[np.int32], whole: Float32) -> None:
    mine, other = network.new_cache(TOKENS), network.new_cache(TOKENS)
    for place in range(20):
        row = network.forward(ids[place : place + 1], mine)
        network.forward(ids[149 - place : 150 - place], other)
        assert np.array_equal(row[0], whole[place])


def test_the_cache_takes_what_its_context_needs() -> None:
    small, large = KVCache.alone(Layout(2, 3, 8), 64), KVCache.alone(Layout(2, 3, 8), 128)
    assert large.nbytes == 2 * small.nbytes
    assert KVCache.alone(Layout(1, 1, 1), 1).limit == 1


def test_no_tokens_give_no_rows(network: GPT2, ids: npt.NDArray[np.int32]) -> None:
    cache = network.new_cache(10)
    assert network.forward(ids[:0], cache, last_only=False).shape == (0, 131)
    assert network.forward(ids[:0], cache).shape == (0, 131)
    assert cache.length == 0


# ------------------------------------------------------------ the recorded step


def test_a_recorded_step_gives_the_bits_of_the_observed_one(
    network: GPT2, ids: npt.NDArray[np.int32], whole: Float32
) -> None:
    """Single tokens go through a plan unless somebody looks; going back and forth between the two changes nothing."""
    cache = network.new_cache(TOKENS)
    watching = Observation(called=frozenset(["blocks.0.hook_attn_out", "hook_logits"]), call=lambda _, __: None)
    for place in range(70):
        look = watching if place % 3 == 1 else None
        assert np.array_equal(network.forward(ids[place : place + 1], cache, observation=look)[0], whole[place])


def test_a_recorded_step_outlives_truncation_and_chunks(
    network: GPT2, ids: npt.NDArray[np.int32], whole: Float32
) -> None:
    cache = network.new_cache(TOKENS)
    for first, chunk in ((0, 5), (66, 20), (130, 7)):
        cache.truncate(min(cache.length, first))
        network.forward(ids[cache.length : first + chunk], cache)
        for place in range(first + chunk, first + chunk + 3):
            assert np.array_equal(network.forward(ids[place : place + 1], cache)[0], whole[place])


def test_logits_of_a_step_stay_as_they_are(network: GPT2, ids: npt.NDArray[np.int32]) -> None:
    """The plan writes one buffer again and again; what was handed out is not it."""
    cache = network.new_cache(8)
    first = network.forward(ids[:1], cache)
    kept = first.copy()
    second = network.forward(ids[1:2], cache)
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
    first[:] = 0
    assert np.array_equal(network.forward(ids[1:2], cached(network, ids[:1])), second)


def cached(network: GPT2, ids: npt.NDArray[np.int32]) -> KVCache:
    """A cache of eight tokens that has read some."""
    cache = network.new_cache(8)
    network.forward(ids, cache)
    return cache


@pytest.mark.parametrize("token", [-1, 131, 2**31 - 1])
@pytest.mark.parametrize("read", [0, 1])
def test_a_token_outside_the_vocabulary_is_an_error_either_way(token: int, read: int, network: GPT2) -> None:
    cache = network.new_cache(8)
    for _ in range(read):
        network.forward(np.array([0], np.int32), cache)
    for bad in ([token], [0, token]):
        with pytest.raises(ShapeError, match=str(token)):
            network.forward(np.array(bad, np.int32), cache)
        assert cache.length == read


def test_the_end_of_the_window_is_an_error(network: GPT2, ids: npt.NDArray[np.int32]) -> None:
    """A cache may be larger than the model's window; positions beyond it do not exist, recorded or not."""
    cache = network.new_cache(200)
    network.forward(ids, cache)
    network.forward(ids[:9], cache)
    network.forward(ids[:1], cache)
    assert cache.length == 160
    for count in (1, 2):
        with pytest.raises(ShapeError, match=f"{160 + count} tokens exceed the context window: .* 160 positions"):
            network.forward(ids[:count], cache)
        assert cache.length == 160


def test_what_lies_in_fresh_memory_does_not_matter(network: GPT2, ids: npt.NDArray[np.int32], whole: Float32) -> None:
    """All bits set are NaN in every type; a position that was not written is never looked at."""
    cache = network.new_cache(TOKENS)
    cache.pool.memory[:] = 255
    rows = [network.forward(chunk, cache, last_only=False) for chunk in pieces(ids, [70, 1, 9])]
    assert np.array_equal(np.concatenate(rows), whole)


def test_the_memory_of_a_cache_serves_the_next(network: GPT2, ids: npt.NDArray[np.int32], whole: Float32) -> None:
    cache = network.new_cache(TOKENS)
    network.forward(ids[::-1].copy(), cache)
    address = cache.pool.memory.ctypes.data
    del cache
    again = network.new_cache(TOKENS - 70)
    assert again.pool.memory.ctypes.data == address
    assert network.new_cache(TOKENS).pool.memory.ctypes.data != address
    assert np.array_equal(network.forward(ids[:50], again, last_only=False), whole[:50])


def test_an_interrupt_while_a_plan_is_pointed_elsewhere_does_no_harm(
    network: GPT2, ids: npt.NDArray[np.int32], whole: Float32, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan must not take itself for pointed at memory whose address it has not written yet."""
    network.forward(ids[:40], first := network.new_cache(TOKENS), last_only=False)
    cache = network.new_cache(TOKENS)

    def interrupted(array: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(plan, "address_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            network.forward(ids[:40], cache, last_only=False)
    first.pool.memory[:] = 255
    assert np.array_equal(network.forward(ids[:40], cache, last_only=False), whole[:40])
    assert (first.pool.memory == 255).all()


def test_a_plan_does_not_keep_the_memory_of_a_cache(
    network: GPT2, ids: npt.NDArray[np.int32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool too large to be kept for the next goes when its last sequence does, whatever plans were pointed at it."""
    monkeypatch.setattr(Spare, "LARGEST", 0)
    cache = network.new_cache(TOKENS)
    network.forward(ids[:1], cache)
    network.forward(ids[1:40], cache)
    memory = weakref.ref(cache.pool.memory)
    del cache
    assert memory() is None
    assert network.forward(ids[:1], network.new_cache(TOKENS)).shape == (1, 131)
