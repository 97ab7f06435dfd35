"""Files of packed weights that are wrong: one clear error at loading that names what; no crash, no silence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import glassformer
from glassformer.errors import GlassformerError
from glassformer.formats.safetensors import open_safetensors, save_safetensors
from glassformer.models.config import GPT2Config, expected_tensors
from glassformer.models.quantization import quantize

CONFIG: dict[str, Any] = {
    "model_type": "gpt2", "vocab_size": 70, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
Tensors = dict[str, npt.NDArray[Any]]
Metadata = dict[str, str]
C_FC = "h.1.mlp.c_fc.weight"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good folders by dtype."""
    place = tmp_path_factory.mktemp("packed")
    rng = np.random.default_rng(0)
    shapes = expected_tensors(GPT2Config.from_dict(CONFIG))
    (place / "in").mkdir()
    (place / "in" / "config.json").write_text(json.dumps(CONFIG))
    tensors = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    save_safetensors(place / "in" / "model.safetensors", tensors)
    return {dtype: quantize(place / "in", place / dtype, dtype=dtype).folder for dtype in ("q8", "q4", "f16")}


def damaged(good: Path, folder: Path, change: Callable[[Tensors, Metadata], object], **config: object) -> Path:
    """A folder like a good one, its tensors or metadata changed."""
    with open_safetensors(good / "model.safetensors") as file:
        tensors, metadata = {name: np.array(file.raw(name)) for name in file}, file.metadata
    change(tensors, metadata)
    folder.mkdir(exist_ok=True)
    save_safetensors(folder / "model.safetensors", tensors, metadata)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(GlassformerError) as caught:
        glassformer.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert len(message) < 3000
    return message


def test_the_good_form_loads(packed: dict[str, Path], tmp_path: Path) -> None:
    for dtype, good in packed.items():
        folder = damaged(good, tmp_path / dtype, lambda tensors, metadata: None)
        assert np.isfinite(glassformer.load(folder).logits([1, 2, 3])).all()


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("layout", "2", "layout '2', expected 1"),
        ("layout", None, "layout None, expected 1"),
        ("layout", "1" * 500, "expected 1"),
        ("group_size", "64", "group_size '64', expected 32"),
        ("block", "", "block '', expected 64"),
        ("dtype", "q5", "dtype 'q5', expected one of q8, q4"),
        ("dtype", None, "expected one of q8, q4"),
        ("dtype", "../etc", "expected one of q8, q4"),
    ],
)
def test_metadata_of_another_version(
    key: str, value: str | None, named: str, packed: dict[str, Path], tmp_path: Path
) -> None:
    def change(tensors: Tensors, metadata: Metadata) -> None:
        metadata.pop(key)
        if value is not None:
            metadata[key] = value

    assert named in refusal(damaged(packed["q8"], tmp_path, change))


@pytest.mark.parametrize("dtype", ["q8", "q4", "f16"])
def test_every_missing_tensor_is_named(dtype: str, packed: dict[str, Path], tmp_path: Path) -> None:
    with open_safetensors(packed[dtype] / "model.safetensors") as file:
        names = list(file)
    for name in names:
        message = refusal(damaged(packed[dtype], tmp_path, lambda tensors, metadata, gone=name: tensors.pop(gone)))
        assert f"{name} " in message
        assert "is missing" in message


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 4, 64, 4), np.uint8), np.zeros((1, 8, 64, 4), np.uint8), np.zeros((2, 8, 256), np.uint8),
        np.zeros((2, 8, 64, 4), np.int8), np.zeros((2, 8, 64, 4), np.float32), np.zeros(0, np.uint8),
        np.zeros((), np.uint8),
    ],
    ids=lambda x: f"{x.dtype}{x.shape}",
)  # fmt: skip
def test_codes_of_another_shape_or_type(array: npt.NDArray[Any], packed: dict[str, Path], tmp_path: Path) -> None:
    name = C_FC + ".codes"
    message = refusal(damaged(packed["q8"], tmp_path, lambda tensors, metadata: tensors.update({name: array})))
    assert f"{name} is " in message
    assert "expected U8 [2, 8, 64, 4]" in message


def test_scales_of_another_type(packed: dict[str, Path], tmp_path: Path) -> None:
    scales = np.zeros((2, 1, 64), np.float32)
    folder = damaged(packed["q4"], tmp_path, lambda tensors, metadata: tensors.update({C_FC + ".scales": scales}))
    assert f"{C_FC}.scales is F32 [2, 1, 64], expected F16 [2, 1, 64]" in refusal(folder)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint8])
def test_a_position_table_of_a_type_that_is_none(dtype: Any, packed: dict[str, Path], tmp_path: Path) -> None:
    table = np.zeros((16, 32), dtype)
    folder = damaged(packed["q8"], tmp_path, lambda tensors, metadata: tensors.update({"wpe.weight": table}))
    assert "wpe.weight is " in refusal(folder)


def test_a_tensor_too_many_is_named(packed: dict[str, Path], tmp_path: Path) -> None:
    extra = {"h.2.ln_1.weight": np.zeros(32, np.float32)}
    folder = damaged(packed["q8"], tmp_path, lambda tensors, metadata: tensors.update(extra))
    assert "'h.2.ln_1.weight' belongs to no tensor of the configuration" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vocab_size": 129}, "wte.weight.codes is U8 [2, 8, 64, 4], expected U8 [3, 8, 64, 4]"),
        ({"n_layer": 3}, "h.2.mlp.c_fc.weight.codes U8 [2, 8, 64, 4] is missing"),
        ({"n_layer": 1}, "belongs to no tensor"),
        ({"n_layer": 4096}, "more"),
        ({"n_positions": 17}, "wpe.weight is F32 [16, 32], expected F32 [17, 32]"),
        ({"n_inner": 256}, "h.0.mlp.c_fc.weight.codes is U8 [2, 8, 64, 4], expected U8 [4, 8, 64, 4]"),
        ({"n_embd": 64}, "wte.weight.codes is U8 [2, 8, 64, 4], expected U8 [2, 16, 64, 4]"),
        ({"tie_word_embeddings": False}, "lm_head.weight.codes U8 [2, 8, 64, 4] is missing"),
        ({"vocab_size": 16777216, "n_embd": 1048544}, "wte.weight.codes is U8 [2, 8, 64, 4]"),
    ],
    ids=str,
)
def test_a_configuration_of_another_model(
    changes: dict[str, object], named: str, packed: dict[str, Path], tmp_path: Path
) -> None:
    assert named in refusal(damaged(packed["q8"], tmp_path, lambda tensors, metadata: None, **changes))


def test_a_configuration_whose_sizes_make_no_groups(packed: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged(packed["q8"], tmp_path, lambda tensors, metadata: None, n_embd=48)
    with pytest.raises(GlassformerError, match="48 inputs; q8 needs a multiple of 32"):
        glassformer.load(folder)


@pytest.mark.parametrize("cut", [0, 7, 8, 100, -1, -64])
def test_a_truncated_file(cut: int, packed: dict[str, Path], tmp_path: Path) -> None:
    whole = (packed["q8"] / "model.safetensors").read_bytes()
    folder = damaged(packed["q8"], tmp_path, lambda tensors, metadata: None)
    (folder / "model.safetensors").write_bytes(whole[:cut])
    assert "model.safetensors" in refusal(folder)


def test_a_vocabulary_within_the_same_block_cannot_be_told_but_does_no_harm(
    packed: dict[str, Path], tmp_path: Path
) -> None:
    """65 to 128 words take two blocks: a configuration that says so gets that many logits."""
    folder = damaged(packed["q8"], tmp_path, lambda tensors, metadata: None, vocab_size=100)
    assert glassformer.load(folder).logits([1, 99]).shape == (2, 100)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scales_that_are_no_numbers_end_generation_with_an_error(
    value: float, packed: dict[str, Path], tmp_path: Path
) -> None:
    def change(tensors: Tensors, metadata: Metadata) -> None:
        tensors[C_FC + ".scales"][:] = value

    model = glassformer.load(damaged(packed["q8"], tmp_path, change))
    with pytest.raises(GlassformerError, match=r"NaN|infinite"):
        model.generate([1, 2, 3], max_new_tokens=4)
