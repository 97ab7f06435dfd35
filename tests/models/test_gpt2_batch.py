"""Batches: every sequence gets the bits that it gets alone, at every place, whatever the others are."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import checkpoint, random_ids, save

from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.runtime.kv_cache import CacheError, KVCache

CHANGES: dict[str, object] = {"n_positions": 700, "n_embd": 64, "n_head": 2, "vocab_size": 131, "n_layer": 2}
Ids = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=["f32", "f16", "bf16", "q8", "q4"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GPT2:
    drawn = checkpoint(CHANGES, seed=9)
    return load_network(save(tmp_path_factory.mktemp("batch"), drawn.values, drawn.tensors), dtype=request.param)


def text(seed: int, tokens: int) -> Ids:
    return np.array(random_ids(seed, tokens, 131), np.int32)


def alone(network: GPT2, ids: Ids) -> Float32:
    return network.forward(ids, network.new_cache(len(ids)), last_only=False)


def together(network: GPT2, texts: Sequence[Ids], cuts: Sequence[int]) -> list[Float32]:
    """Each text's logits when all are read at once, up to a cut and then from it on."""
    caches = network.new_caches([len(ids) for ids in texts])
    found: list[list[Float32]] = [[] for _ in texts]
    for pieces in ([ids[:cut] for ids, cut in zip(texts, cuts, strict=True)],
                   [ids[cut:] for ids, cut in zip(texts, cuts, strict=True)]):  # fmt: skip
        rows = network.forward_batch(list(zip(pieces, caches, strict=True)), last_only=False)
        for number, part in enumerate(np.split(rows, np.cumsum([len(piece) for piece in pieces])[:-1])):
            found[number].append(part)
    return [np.concatenate(parts) for parts in found]


@pytest.mark.parametrize("size", [1, 2, 7, 16])
def test_every_place_in_a_batch_gives_the_same_bits(size: int, network: GPT2) -> None:
    lengths = [3 + 11 * n % 90 for n in range(size)]
    texts = [text(n, length) for n, length in enumerate(lengths)]
    expected = [alone(network, ids) for ids in texts]
    found = together(network, texts, [length // 3 for length in lengths])
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_text_moves_through_all_places(network: GPT2) -> None:
    ids = text(1, 20)
    expected = alone(network, ids)[-1]
    for place in range(7):
        texts = [text(100 + n, 1 + 5 * n) for n in range(7)]
        texts[place] = ids
        caches = network.new_caches([len(t) for t in texts])
        assert np.array_equal(network.forward_batch(list(zip(texts, caches, strict=True)))[place], expected)


def test_sequences_decode_together_and_leave(network: GPT2) -> None:
    texts = [text(n, 30) for n in range(5)]
    expected = [alone(network, ids) for ids in texts]
    caches = network.new_caches([30] * 5)
    network.forward_batch([(ids[: 5 + n], cache) for n, (ids, cache) in enumerate(zip(texts, caches, strict=True))])
    running = list(range(5))
    while running:
        rows = network.forward_batch([(texts[n][caches[n].length : caches[n].length + 1], caches[n]) for n in running])
        for row, n in zip(rows, running, strict=True):
            assert np.array_equal(row, expected[n][caches[n].length - 1])
        running = [n for n in running if caches[n].length < 30 - 4 * n]


def test_more_rows_than_a_pass_takes(network: GPT2) -> None:
    """Three texts of 1,150 tokens in all go through in three passes; each last row comes once, in order."""
    texts = [text(1, 540), text(2, 10), text(3, 600)]
    expected = [alone(network, ids)[-1] for ids in texts]
    caches = network.new_caches([700, 700, 700])
    rows = network.forward_batch(list(zip(texts, caches, strict=True)))
    assert rows.shape == (3, 131)
    assert all(np.array_equal(a, b) for a, b in zip(rows, expected, strict=True))
    assert [cache.length for cache in caches] == [540, 10, 600]


def test_parts_without_tokens_give_no_rows(network: GPT2) -> None:
    caches = network.new_caches([10, 10])
    assert network.forward_batch([(text(1, 0), caches[0]), (text(1, 3), caches[1])]).shape == (1, 131)
    assert network.forward_batch([]).shape == (0, 131)


def test_caches_of_a_batch_are_made_together(network: GPT2) -> None:
    with pytest.raises(CacheError, match="different pools"):
        network.forward_batch([(text(1, 2), network.new_cache(5)), (text(2, 2), network.new_cache(5))])
    cache = network.new_cache(9)
    with pytest.raises(CacheError, match="one cache twice"):
        network.forward_batch([(text(1, 2), cache), (text(2, 2), cache)])
    assert cache.length == 0


def test_blocks_go_back_to_the_pool(network: GPT2) -> None:
    first, second = network.new_caches([64, 64])
    pool = first.pool
    network.forward_batch([(text(1, 60), first), (text(2, 64), second)])
    assert pool.free == []
    second.close()
    assert len(pool.free) == 1
    third = KVCache(pool, 64)
    assert np.array_equal(network.forward(text(5, 10), third), alone(network, text(5, 10))[-1:])
    with pytest.raises(CacheError, match="all 2 blocks"):
        network.forward(text(6, 3), KVCache(pool, 64))


def test_neighbouring_sizes_share_a_plan(network: GPT2) -> None:
    """Rows that fill a form up are nobody's: they change no bit and write nothing into the caches."""
    texts = [text(n, 12) for n in range(8)]
    expected = [alone(network, ids) for ids in texts]
    assert network.steps is not None
    caches = network.new_caches([12] * 8)
    network.forward_batch([(ids[:4], cache) for ids, cache in zip(texts, caches, strict=True)])
    for place, size in ((4, 8), (5, 5), (6, 7), (7, 5), (8, 6)):
        running = [n for n in range(8) if caches[n].length == place][:size]
        forms = len(network.steps.steps)
        rows = network.forward_batch([(texts[n][place : place + 1], caches[n]) for n in running], last_only=False)
        assert rows.shape == (len(running), 131)
        assert all(np.array_equal(row, expected[n][place]) for row, n in zip(rows, running, strict=True))
        assert len(network.steps.steps) <= forms + (place == 4)


def test_pieces_of_neighbouring_sizes_share_a_plan(network: GPT2) -> None:
    """Batches of pieces are filled up too, and each gets the logits behind its own last token."""
    assert network.steps is not None
    forms = []
    for sizes in ([2, 2], [1, 5], [2, 3, 2], [3, 3, 3, 3], [20, 33], [18, 31, 2], [64, 1, 1], [70, 2], [65, 3, 4]):
        texts = [text(n, size) for n, size in enumerate(sizes)]
        caches = network.new_caches([90] * len(sizes))
        last = network.forward_batch(list(zip(texts, caches, strict=True)))  # [parts, vocab_size]
        forms.append(next(reversed(network.steps.steps)))
        assert all(np.array_equal(row, alone(network, ids)[-1]) for row, ids in zip(last, texts, strict=True))
        assert [cache.length for cache in caches] == sizes
    assert [getattr(form, "rows", 0) for form in forms] == [8, 8, 8, 12, 64, 64, 80, 80, 80]
    assert len(set(forms)) <= 6
