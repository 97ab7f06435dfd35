"""One model, the same bits: for every processor level, number of threads, size of chunk and place in a batch."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import checkpoint, random_ids, save

from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.runtime import executor, plan
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.simd.target import runnable_targets

CHANGES: dict[str, object] = {"n_positions": 160, "n_embd": 96, "n_head": 3, "vocab_size": 131, "n_layer": 2}
TOKENS = 100
DTYPES = ["f32", "f16", "bf16", "bf16-dot", "q8", "q4"]
THREADS = [1, 2, 3, 8]
Float32 = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def share_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is small; its launches are shared among threads all the same."""
    monkeypatch.setattr(executor, "SMALL", 0)
    monkeypatch.setattr(plan, "SMALL", 0)


@pytest.fixture(scope="module", params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def network(dtype: str, tmp_path_factory: pytest.TempPathFactory) -> GPT2:
    drawn = checkpoint(CHANGES, seed=11)
    folder = save(tmp_path_factory.mktemp("bits"), drawn.values, drawn.tensors)
    return load_network(folder, dtype=dtype, threads=1)


IDS = np.array(random_ids(11, TOKENS, 131), np.int32)


@pytest.fixture(scope="module")
def whole(network: GPT2) -> Float32:
    """All logits, [TOKENS, 131], on one thread and the best level."""
    return network.forward(IDS, network.new_cache(TOKENS), last_only=False)


@pytest.fixture(scope="module")
def levels(dtype: str) -> tuple[str, ...]:
    """Processor levels to compare; the lowest, for which kernels take long to compile, with three types of weights."""
    return runnable_targets() if dtype in ("f32", "q8", "q4") else runnable_targets()[1:] or runnable_targets()


def variants(network: GPT2, levels: tuple[str, ...]) -> Iterator[tuple[str, GPT2]]:
    """The same weights on every level, and on the best with every number of threads."""
    for target in levels:
        for threads in THREADS if target == runnable_targets()[-1] else THREADS[1:2]:
            ops = Ops(Eager(threads, target))
            yield f"{target}, {threads} threads", GPT2(network.config, network.weights, ops, network.layout.kind)


def test_levels_and_threads(network: GPT2, levels: tuple[str, ...], whole: Float32) -> None:
    for name, other in variants(network, levels):
        cache = other.new_cache(TOKENS)
        prompt = other.forward(IDS[:70], cache, last_only=False)
        steps = [other.forward(IDS[i : i + 1], cache) for i in range(70, 76)]
        assert np.array_equal(np.concatenate([prompt, *steps]), whole[:76]), name


@pytest.mark.parametrize("chunk", [1, 7, 64, TOKENS])
def test_chunks_on_every_level(chunk: int, network: GPT2, levels: tuple[str, ...], whole: Float32) -> None:
    for target in levels:
        other = GPT2(network.config, network.weights, Ops(Eager(2, target)), network.layout.kind)
        cache = other.new_cache(TOKENS)
        rows = [other.forward(IDS[i : i + chunk], cache, last_only=False) for i in range(0, TOKENS, chunk)]
        assert np.array_equal(np.concatenate(rows), whole), target


@pytest.mark.parametrize("size", [2, 7, 16])
def test_places_in_a_batch_on_every_level(size: int, network: GPT2, levels: tuple[str, ...], whole: Float32) -> None:
    """Each sequence is a beginning of the same text, so its last logits are known."""
    for target in levels:
        other = GPT2(network.config, network.weights, Ops(Eager(2, target)), network.layout.kind)
        lengths = [1 + 13 * n % 97 for n in range(size)]
        caches = other.new_caches([length + 1 for length in lengths])
        rows = other.forward_batch([(IDS[:n], cache) for n, cache in zip(lengths, caches, strict=True)])
        assert np.array_equal(rows, whole[np.array(lengths) - 1]), target
        rows = other.forward_batch([(IDS[n : n + 1], cache) for n, cache in zip(lengths, caches, strict=True)])
        assert np.array_equal(rows, whole[lengths]), target
