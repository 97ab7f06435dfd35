"""`glassformer info`: what the files say, without the weights being read."""

import json
import math

import numpy as np
import pytest

from glassformer.formats.safetensors import open_safetensors


def test_json_lists_every_tensor_of_the_file(cli, story):
    report = cli("info", "--json").json
    with open_safetensors(story / "model.safetensors") as weights:
        assert {each["name"]: (each["dtype"], tuple(each["shape"]), each["bytes"]) for each in report["tensors"]} == {
            name: (weights.dtype(name), weights.shape(name), weights.nbytes(name)) for name in weights
        }
        assert report["parameters"] == sum(math.prod(weights.shape(name)) for name in weights)
        assert report["bytes"] == sum(weights.nbytes(name) for name in weights)
    assert report["architecture"] == "gpt2"
    config = json.loads((story / "config.json").read_text())
    assert all(report["config"][key] == config[key] for key in ("n_layer", "n_head", "n_embd", "vocab_size"))


def test_text_form(cli):
    out = cli("info").out
    assert "architecture" in out
    assert "h.0.attn.c_attn.weight" in out
    assert "[192, 576]" in out
    assert "h.0.attn.c_attn.weight" not in cli("info", "--no-tensors").out


def test_a_model_is_an_argument_or_a_flag(cli, story):
    whole = cli("info", "--json").json
    for arguments in ([str(story)], ["--model", str(story)], [str(story / "model.safetensors")]):
        report = cli("info", "--json", *arguments).json
        assert report["tensors"] == whole["tensors"]
        assert report["config"] == whole["config"]
    assert cli("info", str(story), "--model", str(story)).code == 2


def test_a_weights_file_of_any_architecture(cli, tmp_path):
    from glassformer.formats.safetensors_writer import save_safetensors

    path = tmp_path / "other.safetensors"
    save_safetensors(path, {"a.weight": np.zeros((3, 5), np.float32), "b": np.zeros((), np.int8)})
    report = cli("info", "--json", str(path)).json
    assert report["architecture"] is None
    assert {each["name"]: (each["dtype"], each["shape"]) for each in report["tensors"]} == {
        "a.weight": ("F32", [3, 5]),
        "b": ("I8", []),
    }
    assert "unknown" in cli("info", str(path)).out


def test_buffers_and_the_copy_of_a_tied_head_are_no_parameters(cli, tmp_path):
    from glassformer.formats.safetensors_writer import save_safetensors

    config = {"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 2, "vocab_size": 3, "n_positions": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shapes = {"wte.weight": (3, 2), "lm_head.weight": (3, 2), "h.0.attn.bias": (1, 1, 4, 4), "ln_f.bias": (2,)}
    save_safetensors(tmp_path / "model.safetensors", {k: np.zeros(s, np.float32) for k, s in shapes.items()})
    assert cli("info", "--json", str(tmp_path)).json["parameters"] == 6 + 2


@pytest.mark.parametrize("place", ["missing/folder", "missing.safetensors", "."])
def test_no_such_model(cli, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    outcome = cli("info", place)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
