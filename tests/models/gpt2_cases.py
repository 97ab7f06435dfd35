"""Configurations that cover every option of GPT-2, and the random checkpoints that go with them.

The weights come from a generator of our own, so that a seed names the same checkpoint on every machine and with every
version of NumPy: nothing but integer arithmetic, one multiplication and one addition in float64.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.formats.safetensors import save_safetensors
from glassformer.models.config import GPT2Config, expected_tensors

Array = npt.NDArray[Any]
Tensors = dict[str, Array]

BASE: dict[str, object] = {
    "model_type": "gpt2", "vocab_size": 65, "n_positions": 48, "n_embd": 24, "n_layer": 2, "n_head": 3,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip

# Each case by what it changes in BASE.
CASES: dict[str, dict[str, object]] = {
    "base": {},
    "gelu": {"activation_function": "gelu"},
    "relu": {"activation_function": "relu"},
    "silu": {"activation_function": "silu"},
    "tanh": {"activation_function": "tanh"},
    "swish_is_silu": {"activation_function": "swish"},
    "gelu_pytorch_tanh": {"activation_function": "gelu_pytorch_tanh"},
    "odd_inner": {"n_inner": 37},
    "inner_of_one": {"n_inner": 1},
    "unscaled_attention": {"scale_attn_weights": False},
    "scaled_by_layer": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 4},
    "scaled_by_layer_alone": {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False, "n_layer": 3},
    "reordered": {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    "large_epsilon": {"layer_norm_epsilon": 0.3},
    "small_epsilon": {"layer_norm_epsilon": 1e-12},
    "untied": {"tie_word_embeddings": False},
    "five_heads_of_four": {"n_embd": 20, "n_head": 5, "vocab_size": 53, "n_layer": 3},
    "vocabulary_130": {"vocab_size": 130, "tie_word_embeddings": False},
    "vocabulary_64": {"vocab_size": 64, "n_embd": 16, "n_head": 1},
    "one_position": {"n_positions": 1},
    "heads_of_one": {"n_embd": 8, "n_head": 8},
    "heads_of_seventeen": {"n_embd": 34, "n_head": 2},
    "heads_of_eighty": {"n_embd": 160, "n_head": 2, "n_layer": 1},
    "long": {"n_positions": 150, "n_embd": 32, "n_head": 2},
    "everything": {
        "n_inner": 29, "activation_function": "gelu", "scale_attn_by_inverse_layer_idx": True, "vocab_size": 129,
        "layer_norm_epsilon": 1e-3, "tie_word_embeddings": False, "n_embd": 30, "n_head": 6, "n_layer": 3,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A configuration as in config.json, and its tensors by their names without prefix, in float64."""

    values: Mapping[str, object]
    tensors: Mapping[str, Array]

    @property
    def config(self) -> GPT2Config:
        return GPT2Config.from_dict(self.values)

    @property
    def digest(self) -> str:
        """SHA-256 of all values as little-endian float32, by sorted names."""
        total = hashlib.sha256()
        for name in sorted(self.tensors):
            total.update(name.encode() + self.tensors[name].astype("<f4").tobytes())
        return total.hexdigest()


def numbers(seed: int, name: str, count: int) -> npt.NDArray[np.float64]:
    """`count` multiples of 2^-23 in [-1, 1): SplitMix64 (Steele, Lea and Flood 2014), seeded by seed and name."""
    start = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "little")
    with np.errstate(over="ignore"):
        state = np.uint64(start) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    bits = (state ^ state >> np.uint64(31)) >> np.uint64(40)
    return bits.astype(np.float64) * 2.0**-23 - 1.0


def random_tensor(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """A lively tensor: every part of the network has a say in the logits, and no two logits are alike."""
    count = int(np.prod(shape, dtype=np.int64))
    x = numbers(seed, name, count).reshape(shape)
    if len(shape) == 1:
        return 1.0 + 0.5 * x if name.endswith("weight") else 0.5 * x
    rows = 2.0 if name in ("wte.weight", "wpe.weight", "lm_head.weight") else shape[0] ** 0.5
    return (2.0 / rows * x).astype(np.float32).astype(np.float64)


def checkpoint(changes: Mapping[str, object], seed: int = 0) -> Checkpoint:
    """The random checkpoint of a configuration."""
    values = {**BASE, **changes}
    shapes = expected_tensors(GPT2Config.from_dict(values))
    return Checkpoint(values, {name: random_tensor(seed, name, shape) for name, shape in shapes.items()})


def random_ids(seed: int, count: int, vocab_size: int) -> list[int]:
    """Token ids [count]."""
    return [int(x) for x in (numbers(seed, "ids", count) + 1.0) / 2.0 * vocab_size]


def prompt_of(config: GPT2Config, seed: int = 0) -> list[int]:
    """A prompt that leaves a third of the context window free, at most 100 tokens."""
    return random_ids(seed, max(1, min(100, 2 * config.n_positions // 3)), config.vocab_size)


# ------------------------------------------------------------ files


def bf16_codes(x: Array) -> npt.NDArray[np.uint16]:
    """The upper halves of float32, rounded to nearest, ties to even."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def rounded(x: Array, dtype: str) -> Array:
    """Values as a type of safetensors holds them, in float64."""
    if dtype == "BF16":
        return (bf16_codes(x).astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return x.astype({"F16": np.float16, "F32": np.float32, "F64": np.float64}[dtype]).astype(np.float64)


def stored(x: Array, dtype: str) -> Array:
    """Values as the array that is written for a type of safetensors; BF16 as its codes."""
    if dtype == "BF16":
        return bf16_codes(x)
    return x.astype({"F16": np.float16, "F32": np.float32, "F64": np.float64}[dtype])


def save_tensors(path: Path, tensors: Mapping[str, Array], dtype: str = "F32") -> None:
    """Write floating-point tensors as one type; tensors of integers and codes stay as they are."""
    floats = {name for name, x in tensors.items() if x.dtype == np.float64}
    arrays = {name: stored(x, dtype) if name in floats else x for name, x in tensors.items()}
    codes = dict.fromkeys(sorted(floats), "BF16") if dtype == "BF16" else None
    save_safetensors(path, arrays, {"format": "pt"}, codes)


def save(
    folder: Path, values: Mapping[str, object], tensors: Mapping[str, Array], *, dtype: str = "F32", prefix: str = "",
    shards: int = 1,
) -> Path:  # fmt: skip
    """A model's folder in Hugging Face form; `prefix` goes before all names but the head's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(values)), encoding="utf8")
    named = {name if name.startswith("lm_head") else prefix + name: x for name, x in tensors.items()}
    if shards == 1:
        save_tensors(folder / "model.safetensors", named, dtype)
        return folder
    home = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(named)}
    for shard in set(home.values()):
        save_tensors(folder / shard, {name: x for name, x in named.items() if home[name] == shard}, dtype)
    index = {"metadata": {"total_size": 0}, "weight_map": home}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf8")
    return folder
