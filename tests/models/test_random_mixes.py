"""Models of odd shapes, in every type, read in pieces and batches drawn at random: the bits of one token at a time."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import checkpoint, save

from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.runtime import executor, plan
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.kv_cache import KVCache

WIDTHS: dict[str, Sequence[int]] = {
    **dict.fromkeys(("f32", "f16", "bf16"), (1, 5, 17, 33, 96)), "bf16-dot": (2, 6, 34, 100),
    **dict.fromkeys(("q8", "q4"), (32, 64, 96)),
}  # fmt: skip
CACHES = ("f32", "f16", "q8")
Ids = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def share_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small, launches are shared among threads."""
    monkeypatch.setattr(executor, "SMALL", 0)
    monkeypatch.setattr(plan, "SMALL", 0)


def drawn_model(draw: random.Random, dtype: str, cache_dtype: str, folder: Path) -> GPT2:
    width = draw.choice(WIDTHS[dtype])
    changes = {
        "n_embd": width, "n_head": draw.choice([heads for heads in range(1, 9) if width % heads == 0]),
        "n_layer": draw.choice([1, 2]), "vocab_size": draw.choice([1, 2, 17, 63, 64, 65, 130]),
        "n_positions": draw.choice([1, 2, 16, 65, 130]), "tie_word_embeddings": draw.choice([True, False]),
    }  # fmt: skip
    made = checkpoint(changes, seed=draw.randrange(1000))
    return load_network(save(folder, made.values, made.tensors), dtype=dtype, cache_dtype=cache_dtype, threads=1)


def check_pieces(draw: random.Random, network: GPT2, ids: Ids, whole: Float32) -> None:
    """Pieces of any size, some of them forgotten and read again."""
    cache = network.new_cache(len(ids))
    while cache.length < len(ids):
        first = cache.length
        piece = ids[first : first + draw.randint(1, len(ids))]
        assert np.array_equal(network.forward(piece, cache, last_only=False), whole[first : first + len(piece)])
        if draw.random() < 0.3:
            cache.truncate(draw.randint(first, cache.length))


def check_batches(draw: random.Random, network: GPT2, ids: Ids, whole: Float32) -> None:
    """Some sequences decode while others read pieces of their prompts, and their places change."""
    caches = network.new_caches([draw.randint(1, len(ids)) for _ in range(draw.choice([1, 2, 7, 16]))])
    for _ in range(6):
        waiting = [cache for cache in caches if cache.length < cache.limit]
        chosen: list[KVCache] = draw.sample(waiting, draw.randint(0, len(waiting)))
        begins = [cache.length for cache in chosen]
        counts = [draw.choice([1, draw.randint(1, cache.limit - cache.length)]) for cache in chosen]
        rows = network.forward_batch(
            [(ids[at : at + n], cache) for at, n, cache in zip(begins, counts, chosen, strict=True)], last_only=False
        )
        expected = [whole[at : at + n] for at, n in zip(begins, counts, strict=True)]
        assert np.array_equal(rows, np.concatenate([whole[:0], *expected]))


@pytest.mark.parametrize("cache_dtype", CACHES)
@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("seed", range(2))
def test_one_token_at_a_time_on_one_thread_is_what_all_others_do(
    seed: int, dtype: str, cache_dtype: str, tmp_path: Path
) -> None:
    draw = random.Random(f"{seed} {dtype} {cache_dtype}")
    network = drawn_model(draw, dtype, cache_dtype, tmp_path)
    ids = np.array([draw.randrange(network.config.vocab_size) for _ in range(network.config.n_positions)], np.int32)
    cache = network.new_cache(len(ids))
    whole = np.concatenate([network.forward(ids[at : at + 1], cache) for at in range(len(ids))])
    for threads in (1, 2, 3, 8):
        other = GPT2(network.config, network.weights, Ops(Eager(threads)), cache_dtype)
        check_pieces(draw, other, ids, whole)
        check_batches(draw, other, ids, whole)
