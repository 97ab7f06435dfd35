"""Hostile configurations: every problem in one message, no error but ours, no allocation by their word."""

import json
import random
import time
from pathlib import Path

import pytest

from glassformer.models.config import (
    ConfigError,
    GenerationConfig,
    GPT2Config,
    check_tensors,
    read_config,
    read_generation_config,
)

GOOD = {"model_type": "gpt2", "vocab_size": 11, "n_positions": 7, "n_embd": 6, "n_layer": 2, "n_head": 3}
SIZES = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner")
ODD_VALUES = (None, True, False, 0, -1, 1, 10**12, 10**400, 0.5, 1.0, float("inf"), "12", "", [], [1], {}, {"a": 1})


@pytest.mark.parametrize("key", SIZES)
@pytest.mark.parametrize("value", [True, 0, -1, 10**12, 10**400, 1.0, "12", [], {}], ids=lambda value: repr(value)[:12])
def test_sizes(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^config\.json: {key} is .*, expected a whole number from 1 to [\d,]+$"):
        GPT2Config.from_dict(GOOD | {key: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_embd": 10, "n_head": 3}, "n_embd is 10, expected a multiple of n_head, which is 3"),
        ({"model_type": "llama"}, "model_type is 'llama', expected a supported architecture: gpt2"),
        ({"model_type": None}, "model_type is None"),
        ({"model_type": ["gpt2"]}, r"model_type is \['gpt2'\]"),
        ({"activation_function": "quick_gelu"}, "'quick_gelu', expected one of gelu_new, gelu, relu, silu, tanh"),
        ({"activation_function": ["gelu"]}, r"activation_function is \['gelu'\], expected one of"),
        ({"layer_norm_epsilon": -1e-5}, "layer_norm_epsilon is -1e-05, expected a finite number"),
        ({"layer_norm_epsilon": True}, "layer_norm_epsilon is True"),
        ({"layer_norm_epsilon": "1e-5"}, "layer_norm_epsilon is '1e-5'"),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon is nan"),
        ({"scale_attn_weights": 1}, "scale_attn_weights is 1, expected true or false"),
        ({"scale_attn_by_inverse_layer_idx": None}, "scale_attn_by_inverse_layer_idx is None, expected true or false"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings is 'false', expected true or false"),
        ({"add_cross_attention": True}, "add_cross_attention is True, expected false"),
        ({"add_cross_attention": 1}, "add_cross_attention is 1, expected true or false"),
        ({"eos_token_id": "5"}, "eos_token_id is '5', expected a token id"),
        ({"eos_token_id": [1, True]}, r"eos_token_id is \[1, True\], expected a token id"),
        ({"eos_token_id": [[1]]}, "eos_token_id is"),
        ({"bos_token_id": 1.0}, r"bos_token_id is 1\.0, expected a token id"),
        ({"bos_token_id": -2}, "bos_token_id is -2"),
        ({"bos_token_id": 10**30}, "bos_token_id is 1000"),
    ],
)
def test_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GPT2Config.from_dict(GOOD | changes)


def test_all_problems_come_at_once() -> None:
    wrong = {"model_type": "bert", "n_embd": True, "n_layer": "2", "activation_function": 3, "eos_token_id": {}}
    with pytest.raises(ConfigError) as error:
        GPT2Config.from_dict(GOOD | wrong, "here/config.json")
    assert str(error.value).startswith("here/config.json: 5 problems: ")
    assert all(f"{key} is " in str(error.value) for key in wrong)
    assert "\n" not in str(error.value)


def test_direct_construction_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="n_embd is 10, expected a multiple of n_head, which is 3"):
        GPT2Config(n_embd=10, n_head=3)
    with pytest.raises(ConfigError, match=r"2 problems: .*n_layer.*activation_function"):
        GPT2Config(n_layer=0, activation_function="none")


def test_random_values_raise_nothing_else() -> None:
    rng = random.Random(4)
    keys = [*GOOD, "n_inner", "n_ctx", "hidden_size", "activation_function", "layer_norm_epsilon", "eos_token_id"]
    keys += ["tie_word_embeddings", "add_cross_attention", "architectures", "top_k", "temperature", "do_sample", "x"]
    made = 0
    for _ in range(3000):
        values = dict(GOOD) | {rng.choice(keys): rng.choice(ODD_VALUES) for _ in range(rng.randint(1, 3))}
        for read in (GPT2Config.from_dict, GenerationConfig.from_dict):
            try:
                read(values)  # type: ignore[operator]
                made += 1
            except ConfigError as error:
                assert str(error).isprintable()  # noqa: PT017  # most of the values are meant to pass or to raise
    assert 1000 < made < 6000


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff\xfe", b'{"a":NaN}', b'{"n_embd":6,"n_embd":8}', b"[" * 10**6, b'{"a":"\\ud800"}']
)
def test_files_that_are_no_objects(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    read = read_config if name == "config.json" else read_generation_config
    with pytest.raises(ConfigError) as error:
        read(tmp_path)
    assert str(tmp_path / name) in str(error.value)


def test_missing_config(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match=r"config\.json: no such file; expected a model's folder"):
            read_config(folder)
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="cannot read it"):
        read_config(tmp_path)


def test_config_too_large_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b" " * (16 << 20) + b"{}")
    with pytest.raises(ConfigError, match="larger than 16,777,216 bytes"):
        read_config(tmp_path)


def test_largest_sizes_are_met_by_the_check_of_tensors_not_by_memory() -> None:
    start = time.perf_counter()
    config = GPT2Config(vocab_size=1 << 24, n_positions=1 << 24, n_embd=1 << 20, n_layer=1 << 12, n_head=1)
    with pytest.raises(ConfigError, match=r"wte\.weight \[16777216, 1048576\] is missing"):
        check_tensors(config, {}, "model")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -1}, "temperature is -1, expected a finite number of at least 0"),
        ({"temperature": "1"}, "temperature is '1'"),
        ({"temperature": True}, "temperature is True"),
        ({"temperature": 10**400}, "temperature is 1000"),
        ({"top_p": 1.5}, "top_p is 1.5, expected a finite number of at least 0, at most 1"),
        ({"min_p": -0.1}, "min_p is"),
        ({"typical_p": [1]}, "typical_p is"),
        ({"top_k": 1.0}, r"top_k is 1\.0, expected a whole number"),
        ({"top_k": -1}, "top_k is -1"),
        ({"do_sample": "yes"}, "do_sample is 'yes', expected true or false"),
        ({"do_sample": 1}, "do_sample is 1"),
        ({"repetition_penalty": -2.0}, "repetition_penalty is"),
        ({"max_new_tokens": True}, "max_new_tokens is True"),
        ({"max_length": 10**12}, "max_length is 1000000000000"),
        ({"eos_token_id": {}}, "eos_token_id is"),
        ({"top_k": "a", "top_p": "b"}, "2 problems: top_k is 'a'.*top_p is 'b'"),
    ],
)
def test_generation_defaults_are_strict_on_types(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GenerationConfig.from_dict({"do_sample": True} | changes)
    (tmp_path / "generation_config.json").write_text(json.dumps(changes))
    with pytest.raises(ConfigError, match=r"generation_config\.json: "):
        read_generation_config(tmp_path)
