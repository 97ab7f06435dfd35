"""config.json and generation_config.json: what they mean, their defaults, and the tensors that they ask for."""

import dataclasses
import json
from pathlib import Path

import pytest

from glassformer.formats.sharded import open_weights
from glassformer.models.config import (
    ConfigError,
    GenerationConfig,
    GPT2Config,
    check_tensors,
    expected_tensors,
    read_config,
    read_generation_config,
)

DATA = Path(__file__).parents[2] / "../shared/data"
SMALL = {"model_type": "gpt2", "vocab_size": 11, "n_positions": 7, "n_embd": 6, "n_layer": 2, "n_head": 3}


def given(config: GenerationConfig) -> dict[str, object]:
    """The fields that are there, by name."""
    return {name: value for name, value in dataclasses.asdict(config).items() if value is not None}


def small(**changes: object) -> GPT2Config:
    return GPT2Config.from_dict(SMALL | changes)


def test_defaults_are_gpt2_small() -> None:
    config = GPT2Config.from_dict({"model_type": "gpt2"})
    assert config == GPT2Config()
    assert (config.vocab_size, config.n_positions, config.n_embd, config.n_layer, config.n_head) == (
        *(50257, 1024, 768, 12),
        12,
    )
    assert (config.head_dim, config.inner, config.activation, config.layer_norm_epsilon) == (64, 3072, "gelu_new", 1e-5)
    assert config.tie_word_embeddings
    assert config.scale_attn_weights
    assert not config.scale_attn_by_inverse_layer_idx
    assert config.eos_token_ids == (50256,)
    assert config.model_type == "gpt2"


def test_frozen_and_hashable() -> None:
    config = small(eos_token_id=[1, 2])
    assert hash(config) == hash(small(eos_token_id=[1, 2]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.n_embd = 1  # type: ignore[misc]


def test_every_option_is_read() -> None:
    options = {
        "n_inner": 10,
        "activation_function": "relu",
        "layer_norm_epsilon": 1,
        "scale_attn_weights": False,
        "scale_attn_by_inverse_layer_idx": True,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": 4,
    }
    config = small(**options)
    assert {key: getattr(config, key) for key in options} == options
    assert config.inner == 10
    assert (config.head_dim, config.eos_token_ids) == (2, (4,))


@pytest.mark.parametrize(
    ("given", "ids"),
    [(None, ()), (5, (5,)), ([5, 9], (5, 9)), ([], ()), (50256, (50256,)), (-1, (-1,))],
)
def test_end_of_text_ids(given: object, ids: tuple[int, ...]) -> None:
    assert small(eos_token_id=given).eos_token_ids == ids


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        *((name, name) for name in ("gelu_new", "gelu", "relu", "silu", "tanh")),
        ("gelu_pytorch_tanh", "gelu_new"),
        ("swish", "silu"),
    ],
)
def test_activations_and_their_aliases(name: str, activation: str) -> None:
    assert small(activation_function=name).activation == activation


def test_other_names_for_sizes() -> None:
    aliases = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3, "max_position_embeddings": 9}
    config = GPT2Config.from_dict({"model_type": "gpt2"} | aliases)
    assert (config.n_embd, config.n_head, config.n_layer, config.n_positions) == (8, 2, 3, 9)
    assert GPT2Config.from_dict({"model_type": "gpt2", "n_ctx": 33}).n_positions == 33
    assert GPT2Config.from_dict({"model_type": "gpt2", "n_ctx": 33, "n_positions": 44}).n_positions == 44
    with pytest.raises(ConfigError, match="n_embd is 6 but hidden_size is 8"):
        small(hidden_size=8)


def test_architecture_implied_by_old_files() -> None:
    assert GPT2Config.from_dict({"architectures": ["GPT2LMHeadModel"]}) == GPT2Config()


def test_expected_tensors() -> None:
    shapes = expected_tensors(small(n_inner=10))
    assert len(shapes) == 2 + 2 * 12 + 2
    assert shapes["wte.weight"] == (11, 6)
    assert shapes["wpe.weight"] == (7, 6)
    assert shapes["h.1.attn.c_attn.weight"] == (6, 18)
    assert shapes["h.1.attn.c_attn.bias"] == (18,)
    assert shapes["h.0.attn.c_proj.weight"] == (6, 6)
    assert shapes["h.0.mlp.c_fc.weight"] == (6, 10)
    assert shapes["h.0.mlp.c_proj.weight"] == (10, 6)
    assert shapes["h.0.ln_2.bias"] == shapes["ln_f.weight"] == (6,)
    assert "lm_head.weight" not in shapes
    assert expected_tensors(small(tie_word_embeddings=False))["lm_head.weight"] == (11, 6)


def test_check_tensors_lists_every_difference() -> None:
    config = small()
    found = expected_tensors(config)
    check_tensors(config, found | {"h.0.attn.bias": (1, 1, 7, 7)}, "here")
    del found["ln_f.bias"]
    found |= {"wte.weight": (12, 6), "h.1.attn.c_attn.weight": (18, 6)}
    with pytest.raises(ConfigError) as error:
        check_tensors(config, found, "here")
    message = str(error.value)
    assert message.startswith("here: ")
    assert "wte.weight is [12, 6], expected [11, 6]" in message
    assert "h.1.attn.c_attn.weight is [18, 6], expected [6, 18]" in message
    assert "ln_f.bias [6] is missing" in message
    with pytest.raises(ConfigError, match="and 8 more"):
        check_tensors(config, {}, "here")


def test_generation_config(tmp_path: Path) -> None:
    values = {
        "do_sample": True,
        "temperature": 1,
        "top_k": 50,
        "top_p": 0.9,
        "min_p": 0.05,
        "typical_p": 0.8,
        "repetition_penalty": 1.2,
        "max_new_tokens": 10,
        "max_length": 20,
        "eos_token_id": [1, 2],
        "bos_token_id": 3,
    }
    others = {"transformers_version": "5", "num_beams": 4, "pad_token_id": None}
    (tmp_path / "generation_config.json").write_text(json.dumps(values | others))
    config = read_generation_config(tmp_path)
    assert given(config) == values | {"eos_token_id": (1, 2)}
    assert isinstance(config.temperature, float)
    assert config.eos_token_ids == (1, 2)


def test_generation_config_that_is_absent(tmp_path: Path) -> None:
    assert read_generation_config(tmp_path) == GenerationConfig()
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 3, "do_sample": True, "top_k": 5}))
    assert given(read_generation_config(tmp_path)) == {"eos_token_id": 3}


@pytest.mark.parametrize("model", ["models/gpt2-capp", "models/gpt2-adder", "story-model"])
def test_published_models_have_the_tensors_of_their_config(model: str) -> None:
    folder = DATA / model
    if not folder.exists():
        pytest.skip("no published models beside the checkout")
    config = read_config(folder)
    with open_weights(folder) as weights:
        shapes = {name.removeprefix("transformer."): weights.shape(name) for name in weights}
        check_tensors(config, shapes, str(folder))
    if model.endswith("capp"):
        assert config.bos_token_id == 50256 > config.vocab_size
        assert read_generation_config(folder).eos_token_ids == (51,)


@pytest.mark.parity
def test_tensors_and_defaults_as_in_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    for changes in ({}, {"n_inner": 10, "tie_word_embeddings": False}):
        values = {key: value for key, value in (SMALL | changes).items() if key != "model_type"}
        theirs = transformers.GPT2Config(**values)
        model = transformers.GPT2LMHeadModel(theirs)
        shapes = {name.removeprefix("transformer."): tuple(t.shape) for name, t in model.state_dict().items()}
        config = GPT2Config.from_dict(theirs.to_dict())
        if config.tie_word_embeddings:
            assert shapes.pop("lm_head.weight") == shapes["wte.weight"]
        assert expected_tensors(config) == shapes
    defaults = transformers.GPT2Config().to_dict()
    assert all(defaults[field.name] == field.default for field in dataclasses.fields(GPT2Config))
