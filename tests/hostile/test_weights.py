"""Weights that are wrong: one clear error at loading that names the tensor or the file; no crash, no silence."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import glassformer
from glassformer.errors import GlassformerError
from glassformer.formats.safetensors import save_safetensors
from glassformer.generation.errors import LogitsError
from glassformer.models.config import ConfigError
from glassformer.models.load import GPT2Config, LoadError, expected_tensors

CONFIG: dict[str, Any] = {
    "model_type": "gpt2", "vocab_size": 33, "n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 3,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
Tensors = dict[str, npt.NDArray[Any]]
C_FC = "h.1.mlp.c_fc.weight"


def good() -> Tensors:
    rng = np.random.default_rng(0)
    shapes = expected_tensors(GPT2Config.from_dict(CONFIG))
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def write(folder: Path, tensors: Tensors, **changes: object) -> Path:
    (folder / "config.json").write_text(json.dumps(CONFIG | changes), encoding="utf8")
    save_safetensors(folder / "model.safetensors", tensors)
    return folder


def refusal(folder: Path, **options: Any) -> str:
    """The one line with which loading is refused."""
    with pytest.raises(GlassformerError) as caught:
        glassformer.load(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 2000
    return message


def test_the_good_form_loads(tmp_path: Path) -> None:
    assert np.isfinite(glassformer.load(write(tmp_path, good())).logits([1, 2, 3])).all()


# ------------------------------------------------------------ tensors that are not what they should be


@pytest.mark.parametrize("name", list(good()))
def test_a_missing_tensor_is_named_with_its_shape(name: str, tmp_path: Path) -> None:
    tensors = good()
    shape = list(tensors.pop(name).shape)
    message = refusal(write(tmp_path, tensors))
    assert f"{name} {shape} is missing" in message
    assert str(tmp_path) in message


@pytest.mark.parametrize("name", list(good()))
def test_a_tensor_of_another_shape_is_named_with_both(name: str, tmp_path: Path) -> None:
    tensors = good()
    shape = tensors[name].shape
    tensors[name] = np.zeros((shape[0] + 1, *shape[1:]), np.float32)
    assert f"{name} is {list(tensors[name].shape)}, expected {list(shape)}" in refusal(write(tmp_path, tensors))


@pytest.mark.parametrize("shape", [(), (1,), (0, 0), (12, 48, 1), (48, 12), (576,)], ids=str)
def test_a_matrix_of_other_axes_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Not even a transposed matrix, or the right number of elements, passes for the right shape."""
    message = refusal(write(tmp_path, {**good(), C_FC: np.zeros(shape, np.float32)}))
    assert f"{C_FC} is {list(shape)}, expected [12, 48]" in message


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "int8", "bool", "complex64", "int16", "uint16"])
@pytest.mark.parametrize("name", ["wte.weight", "wpe.weight", "h.0.ln_1.bias", C_FC])
def test_a_type_that_holds_no_weights_is_refused(name: str, dtype: str, tmp_path: Path) -> None:
    tensors = good()
    tensors[name] = np.ones(tensors[name].shape, np.dtype(dtype))
    message = refusal(write(tmp_path, tensors))
    assert name in message
    assert "F32, F16, BF16, F64" in message


def test_8_bit_floats_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, good())
    tensors = {**good(), C_FC: np.zeros((12, 48), np.uint8)}
    save_safetensors(folder / "model.safetensors", tensors, dtypes={C_FC: "F8_E4M3"})
    assert f"{C_FC} is F8_E4M3" in refusal(folder)


@pytest.mark.parametrize("dtype", ["int8", "F32", "float32", "", "q5"])
def test_an_unknown_dtype_is_refused_before_any_work(dtype: str, tmp_path: Path) -> None:
    message = refusal(write(tmp_path, good()), dtype=dtype)
    assert repr(dtype) in message
    assert "auto, f32, f16, bf16" in message


# ------------------------------------------------------------ a configuration that contradicts the tensors


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vocab_size": 34}, ["wte.weight is [33, 12], expected [34, 12]"]),
        ({"n_positions": 17}, ["wpe.weight is [16, 12], expected [17, 12]"]),
        ({"n_layer": 3}, ["h.2.ln_1.weight [12] is missing", "h.2.mlp.c_proj.bias [12] is missing"]),
        ({"n_inner": 47}, ["h.0.mlp.c_fc.weight is [12, 48], expected [12, 47]", "h.1.mlp.c_fc.bias is [48]"]),
        ({"n_embd": 24}, ["wte.weight is [33, 12], expected [33, 24]", "and 8 more"]),
        ({"tie_word_embeddings": False}, ["lm_head.weight [33, 12] is missing"]),
        ({"n_layer": 4096}, ["h.2.ln_1.weight [12] is missing", "more"]),
        ({"vocab_size": 16777216, "n_embd": 1048572, "n_head": 3}, ["wte.weight is [33, 12]"]),
    ],
    ids=str,
)
def test_all_contradictions_come_in_one_list(changes: dict[str, Any], named: list[str], tmp_path: Path) -> None:
    message = refusal(write(tmp_path, good(), **changes))
    for each in named:
        assert each in message


def test_layers_beyond_those_of_the_configuration_are_an_error(tmp_path: Path) -> None:
    """A model cut short in silence would still talk, and badly."""
    with pytest.raises(LoadError, match=r"layer 1, .* n_layer 1"):
        glassformer.load(write(tmp_path, good(), n_layer=1))


def test_the_configuration_counts_before_the_weights(tmp_path: Path) -> None:
    folder = write(tmp_path, good(), n_head=5)
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="n_embd is 12, expected a multiple of n_head, which is 5"):
        glassformer.load(folder)


# ------------------------------------------------------------ files cut short, or missing


@pytest.mark.parametrize("cut", [0, 7, 8, 100, -1, -100])
def test_a_truncated_file_is_refused(cut: int, tmp_path: Path) -> None:
    folder = write(tmp_path, good())
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    assert "model.safetensors" in refusal(folder)


def sharded(folder: Path, **changes: str) -> Path:
    """The good form in two shards, its index changed."""
    tensors = good()
    names = list(tensors)
    home = {name: f"model-{1 + (place % 2)}.safetensors" for place, name in enumerate(names)}
    for shard in ("model-1.safetensors", "model-2.safetensors"):
        save_safetensors(folder / shard, {name: tensors[name] for name in names if home[name] == shard})
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf8")
    index = json.dumps({"weight_map": home | changes})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf8")
    return folder


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    folder = sharded(tmp_path)
    assert np.isfinite(glassformer.load(folder).logits([1])).all()
    file = folder / "model-2.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    assert "model-2.safetensors" in refusal(folder)
    file.unlink()
    message = refusal(folder)
    assert "model-2.safetensors" in message
    assert "missing" in message


@pytest.mark.parametrize("shard", ["model-1.safetensors", "model-3.safetensors", "../model-1.safetensors", "/etc/a"])
def test_an_index_that_lies_is_refused(shard: str, tmp_path: Path) -> None:
    message = refusal(sharded(tmp_path, **{"wpe.weight": shard}))
    assert "wpe.weight" in message or shard in message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, good())
    (folder / name).unlink()
    assert name in refusal(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits")
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, good())
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    assert "model.safetensors" in refusal(folder)


# ------------------------------------------------------------ numbers that are none


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["wte.weight", "wpe.weight", "h.0.attn.c_attn.weight", "h.1.ln_2.bias", "ln_f.weight"])
def test_weights_that_are_no_numbers_end_generation_with_an_error(name: str, value: float, tmp_path: Path) -> None:
    tensors = good()
    tensors[name][:] = value
    model = glassformer.load(write(tmp_path, tensors))
    for options in ({"do_sample": False}, {"do_sample": True, "temperature": 0.8, "top_k": 5, "seed": 1}):
        with pytest.raises(LogitsError, match=r"NaN|infinite"):
            model.generate([1, 2, 3], max_new_tokens=4, **options)
    assert not np.isfinite(model.logits([1, 2, 3])).all()


def test_one_bad_row_hurts_only_texts_that_use_it(tmp_path: Path) -> None:
    """A damaged embedding of one position leaves shorter texts as they are."""
    tensors = good()
    expected = glassformer.load(write(tmp_path, tensors)).logits([1, 2, 3])
    tensors["wpe.weight"][3:] = np.nan
    model = glassformer.load(write(tmp_path, tensors))
    assert np.array_equal(model.logits([1, 2, 3]), expected)
    assert np.isnan(model.logits([1, 2, 3, 4])[3]).all()


def test_values_beyond_half_precision_are_told_when_they_overflow(tmp_path: Path) -> None:
    """Rounding 1e6 to F16 makes it infinite; the error at generation names the cure."""
    tensors = good()
    tensors[C_FC][:] = 1e6
    folder = write(tmp_path, tensors)
    assert np.isfinite(glassformer.load(folder).logits([1, 2])).all()
    with pytest.raises(LogitsError, match="dtype='f32'"):
        glassformer.load(folder, dtype="f16").generate([1, 2], max_new_tokens=2)


Damage = Callable[[bytearray, np.random.Generator], None]


def flip(data: bytearray, rng: np.random.Generator) -> None:
    data[int(rng.integers(8, min(len(data), 1500)))] ^= 1 << int(rng.integers(8))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


@pytest.mark.parametrize("damage", [flip, cut])
def test_random_damage_raises_our_errors_alone(damage: Damage, tmp_path: Path) -> None:
    folder = write(tmp_path, good())
    file = folder / "model.safetensors"
    sound, rng, refused = file.read_bytes(), np.random.default_rng(1), 0
    for _ in range(60):
        data = bytearray(sound)
        damage(data, rng)
        file.write_bytes(data)
        try:
            glassformer.load(folder).logits([1, 2])
        except GlassformerError:
            refused += 1
    assert refused > 30
