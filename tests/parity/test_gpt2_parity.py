"""GPT-2 against Hugging Face transformers: logits within 1e-4 of their range, and the same greedy text."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpt2_cases import CASES, checkpoint, prompt_of, random_ids, save
from gpt2_twin import error

import glassformer

os.environ.setdefault("HF_HUB_OFFLINE", "1")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from reference_gpt2 import greedy, logits, new_model, read_model

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

PARITY = 1e-4  # of the logit range: the promise
NEW_TOKENS = 60


def compare(reference: Any, folder: Path, ids: list[int], new_tokens: int = NEW_TOKENS, **options: Any) -> float:
    """Logits and greedy text of both; the error of the logits."""
    model = glassformer.load(folder, **options)
    found = error(model.logits(ids), logits(reference, ids))
    assert found < PARITY
    count = min(new_tokens, model.config.n_positions - len(ids))
    if count > 0:
        new = model.generate(ids, do_sample=False, max_new_tokens=count, ignore_eos=True)
        assert new.ids == greedy(reference, ids, count)
    return found


@pytest.mark.parametrize("seed", [11, 12])
@pytest.mark.parametrize("case", CASES)
def test_every_option(case: str, seed: int, tmp_path: Path) -> None:
    drawn = checkpoint(CASES[case], seed)
    folder = save(tmp_path, drawn.values, drawn.tensors, prefix="transformer." if seed % 2 else "")
    compare(read_model(folder), folder, prompt_of(drawn.config, seed))


@pytest.mark.parametrize("seed", range(30))
def test_random_configurations(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    heads, head_dim = int(rng.integers(1, 9)), int(rng.integers(1, 40))
    values: dict[str, Any] = {
        "n_head": heads, "n_embd": heads * head_dim, "n_layer": int(rng.integers(1, 6)),
        "vocab_size": int(rng.integers(2, 300)), "n_positions": int(rng.integers(2, 200)),
        "n_inner": [None, 1, int(rng.integers(1, 300))][seed % 3],
        "activation_function": ["gelu_new", "gelu", "relu", "silu", "tanh", "swish", "gelu_pytorch_tanh"][seed % 7],
        "scale_attn_weights": bool(seed & 1), "scale_attn_by_inverse_layer_idx": bool(seed & 2),
        "reorder_and_upcast_attn": bool(seed & 4), "tie_word_embeddings": bool(seed & 8),
        "layer_norm_epsilon": float(10.0 ** -rng.integers(1, 13)),
    }  # fmt: skip
    reference = new_model(**values)
    reference.save_pretrained(tmp_path)
    count = max(1, values["n_positions"] * 2 // 3)
    compare(reference, tmp_path, random_ids(seed, count, values["vocab_size"]))


def test_every_position_of_the_window(tmp_path: Path) -> None:
    reference = new_model(n_layer=2, n_head=2, n_embd=32, vocab_size=100, n_positions=300)
    reference.save_pretrained(tmp_path)
    assert compare(reference, tmp_path, random_ids(1, 300, 100)) < 1e-5


# ------------------------------------------------------------ the published sizes


# name: (n_layer, n_head, n_embd); the layers of the larger ones are alike, so that two of them stand for all.
SIZES = {
    "distilgpt2": (6, 12, 768), "gpt2": (12, 12, 768), "gpt2-medium": (2, 16, 1024), "gpt2-large": (2, 20, 1280),
    "gpt2-xl": (1, 25, 1600),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name: str, tmp_path: Path) -> None:
    layers, heads, width = SIZES[name]
    whole = name in ("distilgpt2", "gpt2")
    reference = new_model(n_layer=layers, n_head=heads, n_embd=width, vocab_size=50257 if whole else 1000)
    reference.save_pretrained(tmp_path)
    ids = random_ids(1, 24, 1000)
    compare(reference, tmp_path, ids, NEW_TOKENS if whole else 10)


def test_the_whole_window_of_gpt2(tmp_path: Path) -> None:
    """1,024 tokens through layers as wide as GPT-2's."""
    reference = new_model(n_layer=2, n_head=12, n_embd=768, vocab_size=2000)
    reference.save_pretrained(tmp_path)
    compare(reference, tmp_path, random_ids(1, 1024, 2000))


# ------------------------------------------------------------ what save_pretrained writes


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shard", [None, "20KB"])
@pytest.mark.parametrize("tied", [True, False])
def test_saved_folders(dtype: str, shard: str | None, tied: bool, tmp_path: Path) -> None:
    import torch

    reference = new_model(n_layer=2, n_head=3, n_embd=24, vocab_size=90, n_positions=100, tie_word_embeddings=tied)
    options = {} if shard is None else {"max_shard_size": shard}
    reference.to(getattr(torch, dtype)).save_pretrained(tmp_path, safe_serialization=True, **options)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard is not None)
    ids = random_ids(2, 30, 90)
    compare(read_model(tmp_path), tmp_path, ids)
    compare(read_model(tmp_path), tmp_path, ids, dtype="f32")


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("held", ["both the same", "both, different", "the head alone", "the embedding alone"])
def test_heads_are_tied_as_the_reference_ties_them(held: str, tie: bool, tmp_path: Path) -> None:
    if not tie and held in ("the head alone", "the embedding alone"):
        pytest.skip("half of the weights are missing: transformers makes them up, we refuse")
    drawn = checkpoint({"tie_word_embeddings": tie}, seed=3)
    tensors = dict(drawn.tensors)
    table = tensors.pop("wte.weight")
    if held != "the head alone":
        tensors["wte.weight"] = table
    if held != "the embedding alone":
        tensors["lm_head.weight"] = table * 0.5 if "different" in held else table
    folder = save(tmp_path, drawn.values, tensors, prefix="transformer.")
    compare(read_model(folder), folder, prompt_of(drawn.config))


def test_old_buffers_are_passed_over(tmp_path: Path) -> None:
    drawn = checkpoint({}, seed=4)
    causal = np.tril(np.ones((48, 48), np.uint8)).reshape(1, 1, 48, 48)
    buffers = {f"h.{layer}.attn.bias": causal for layer in range(2)}
    folder = save(tmp_path, drawn.values, {**drawn.tensors, **buffers})
    compare(read_model(folder), folder, prompt_of(drawn.config))
