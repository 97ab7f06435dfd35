"""The forward pass against its twin in plain NumPy, for every option of config.json."""

from pathlib import Path

import numpy as np
import pytest
from gpt2_cases import CASES, checkpoint, prompt_of, random_ids, rounded, save
from gpt2_twin import error, greedy, logits

import glassformer

EXACT = 3e-6  # of the logit range: what float32 leaves of float64 in these sizes


@pytest.mark.parametrize("case", CASES)
def test_logits_and_greedy_ids_are_those_of_the_twin(case: str, tmp_path: Path) -> None:
    drawn = checkpoint(CASES[case], seed=1)
    config, ids = drawn.config, prompt_of(drawn.config)
    model = glassformer.load(save(tmp_path, drawn.values, drawn.tensors))
    found = model.logits(ids)
    assert found.dtype == np.float32
    assert found.shape == (len(ids), config.vocab_size)
    assert error(found, logits(config, drawn.tensors, ids)) < EXACT
    count = min(10, config.n_positions - len(ids) + 1)
    new = model.generate(ids, do_sample=False, max_new_tokens=count, ignore_eos=True)
    assert new.ids == greedy(config, drawn.tensors, ids, count)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_embd": 1, "n_head": 1, "n_inner": 1, "n_layer": 1},
        {"vocab_size": 2, "n_positions": 2},
        {"n_embd": 6, "n_head": 2, "vocab_size": 63},
        {"n_embd": 48, "n_head": 3, "vocab_size": 66, "n_inner": 65},
    ],
    ids=str,
)
def test_the_smallest_sizes(changes: dict[str, object], tmp_path: Path) -> None:
    drawn = checkpoint(changes, seed=2)
    ids = prompt_of(drawn.config)
    found = glassformer.load(save(tmp_path, drawn.values, drawn.tensors)).logits(ids)
    expected = logits(drawn.config, drawn.tensors, ids)
    assert np.abs(found - expected).max() < 1e-5 * max(1.0, float(np.abs(expected).max()))


@pytest.mark.parametrize("seed", range(12))
def test_random_configurations(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    heads, head_dim = int(rng.integers(1, 7)), int(rng.integers(1, 34))
    changes: dict[str, object] = {
        "n_head": heads, "n_embd": heads * head_dim, "n_layer": int(rng.integers(1, 5)),
        "vocab_size": int(rng.integers(2, 200)), "n_positions": int(rng.integers(1, 140)),
        "n_inner": None if seed % 3 else int(rng.integers(1, 200)),
        "activation_function": ["gelu_new", "gelu", "relu", "silu", "tanh"][seed % 5],
        "scale_attn_weights": bool(seed & 1), "scale_attn_by_inverse_layer_idx": bool(seed & 2),
        "tie_word_embeddings": bool(seed & 4), "layer_norm_epsilon": float(10.0 ** -rng.integers(2, 8)),
    }  # fmt: skip
    drawn = checkpoint(changes, seed)
    ids = random_ids(seed, drawn.config.n_positions, drawn.config.vocab_size)
    found = glassformer.load(save(tmp_path, drawn.values, drawn.tensors)).logits(ids)
    expected = logits(drawn.config, drawn.tensors, ids)
    assert np.abs(found - expected).max() < 2e-5 * max(1.0, float(np.ptp(expected)))


def test_the_options_are_told_apart() -> None:
    """Every case gives other logits than the base, so that none of the tests above passes for want of effect."""
    base = checkpoint({}, seed=1)
    ids = prompt_of(base.config)
    plain = logits(base.config, base.tensors, ids)
    for changes in (
        {"activation_function": "gelu"}, {"activation_function": "relu"}, {"activation_function": "silu"},
        {"activation_function": "tanh"}, {"scale_attn_weights": False}, {"scale_attn_by_inverse_layer_idx": True},
        {"layer_norm_epsilon": 0.3}, {"layer_norm_epsilon": 1e-3}, {"tie_word_embeddings": False},
    ):  # fmt: skip
        other = checkpoint(changes, seed=1)
        assert error(logits(other.config, other.tensors, ids), plain) > 10 * EXACT, changes


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same_bits(threads: int, tmp_path: Path) -> None:
    drawn = checkpoint({"n_embd": 128, "n_head": 4, "vocab_size": 1000, "n_positions": 128}, seed=3)
    save(tmp_path, drawn.values, drawn.tensors)
    ids = random_ids(3, 128, 1000)
    one, several = (glassformer.load(tmp_path, threads=n).logits(ids) for n in (1, threads))
    assert np.array_equal(one, several)
    assert error(several, logits(drawn.config, drawn.tensors, ids)) < EXACT


def test_half_precision_weights_stay_near_the_exact_ones(tmp_path: Path) -> None:
    """Rounding weights, and nothing else, separates the types: the twin with rounded weights agrees as with F32."""
    drawn = checkpoint({}, seed=4)
    ids = prompt_of(drawn.config)
    exact = logits(drawn.config, drawn.tensors, ids)
    for dtype, near in (("F16", 2e-3), ("BF16", 2e-2)):
        found = glassformer.load(save(tmp_path / dtype, drawn.values, drawn.tensors, dtype=dtype)).logits(ids)
        same = {name: rounded(x, dtype) for name, x in drawn.tensors.items()}
        assert error(found, logits(drawn.config, same, ids)) < EXACT
        assert EXACT < error(found, exact) < near
