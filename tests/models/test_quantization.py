"""`quantize` writes what `load` would have made of the model: the same bits, used where they lie in the file."""

import hashlib
import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import Checkpoint, checkpoint, prompt_of, save

import glassformer
from glassformer.formats import safetensors_writer
from glassformer.formats.safetensors import open_safetensors, save_safetensors
from glassformer.models.locate import EMBEDDED
from glassformer.models.packed_weights import LAYOUT, PackedWeightsError
from glassformer.models.quantization import QuantizeError, quantize
from glassformer.runtime.quantized import QuantizationError, QuantizedMatrix

DTYPES = ["q8", "q4", "f16", "bf16", "f32"]
SIZES: dict[str, object] = {"n_embd": 32, "n_head": 2, "n_inner": 96, "vocab_size": 70}


@pytest.fixture(scope="module")
def drawn() -> Checkpoint:
    return checkpoint(SIZES, seed=3)


@pytest.fixture(scope="module")
def source(drawn: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("source"), drawn.values, drawn.tensors, prefix="transformer.")


@pytest.fixture(scope="module")
def ids(drawn: Checkpoint) -> list[int]:
    return prompt_of(drawn.config)


def addresses(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


# ------------------------------------------------------------ the same model


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}], ids=["tied", "untied"])
@pytest.mark.parametrize("stored", ["F32", "BF16"])
def test_logits_are_those_of_the_model_held_so(
    stored: str, changes: dict[str, object], dtype: str, tmp_path: Path
) -> None:
    case = checkpoint({**SIZES, **changes}, seed=4)
    folder = save(tmp_path / "in", case.values, case.tensors, dtype=stored)
    made = quantize(folder, tmp_path / "out", dtype=dtype)
    text = prompt_of(case.config)
    expected, found = glassformer.load(folder, dtype=dtype), glassformer.load(tmp_path / "out")
    assert np.array_equal(found.logits(text), expected.logits(text))
    assert found.network.weights.nbytes == expected.network.weights.nbytes
    assert made.bytes_after == (tmp_path / "out" / "model.safetensors").stat().st_size


def test_the_story_model_tells_the_same_story(tmp_path: Path) -> None:
    quantize(None, tmp_path / "out", dtype="q8")
    told = [
        glassformer.load(path, dtype="q8").generate("Once", seed=3, max_new_tokens=24)
        for path in (None, tmp_path / "out")
    ]
    assert told[0].ids == told[1].ids
    assert told[0].text == told[1].text


def test_a_head_that_differs_from_the_table_stays_apart(drawn: Checkpoint, ids: list[int], tmp_path: Path) -> None:
    """config.json says tied, the weights say otherwise; see `tied_as_stored`."""
    tensors = {**drawn.tensors, "lm_head.weight": -drawn.tensors["wte.weight"]}
    folder = save(tmp_path / "in", drawn.values, tensors)
    quantize(folder, tmp_path / "out")
    expected, found = glassformer.load(folder, dtype="q8"), glassformer.load(tmp_path / "out")
    assert np.array_equal(found.logits(ids), expected.logits(ids))
    assert found.network.weights.lm_head is not found.network.weights.wte


def test_the_embedding_of_a_four_bit_model_has_eight(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out", dtype="q4")
    weights = glassformer.load(tmp_path / "out").network.weights
    assert isinstance(weights.wte, QuantizedMatrix)
    assert (weights.wte.bits, weights.h[0].c_fc.weight.bits) == (8, 4)


# ------------------------------------------------------------ the file


@pytest.mark.parametrize("dtype", DTYPES)
def test_matrices_are_aligned_and_used_in_place(dtype: str, source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out", dtype=dtype)
    weights = glassformer.load(tmp_path / "out").network.weights
    arrays = []
    for matrix in (weights.wte, weights.h[1].c_attn.weight, weights.h[0].mlp_c_proj.weight):
        arrays += [matrix.codes, matrix.scales] if isinstance(matrix, QuantizedMatrix) else [matrix.data]
    assert all(addresses(array) % 64 == 0 for array in arrays)
    assert not any(array.flags.owndata or array.flags.writeable for array in arrays)


DIGESTS = {
    "q8": "52727b2008826de2",
    "q4": "d625c47052182c3a",
    "f16": "570190e14da96d12",
}


@pytest.mark.parametrize("dtype", DIGESTS)
def test_a_layout_is_what_it_was(dtype: str, source: Path, tmp_path: Path) -> None:
    """Whoever changes what lies in the file, and so what kernels read, gives `LAYOUT` another number."""
    quantize(source, tmp_path / "out", dtype=dtype)
    assert hashlib.sha256((tmp_path / "out" / "model.safetensors").read_bytes()).hexdigest()[:16] == DIGESTS[dtype]


def test_names_and_metadata_are_the_documented_ones(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out", dtype="q4")
    with open_safetensors(tmp_path / "out" / "model.safetensors") as file:
        assert file.metadata == {
            "format": "glassformer-packed", "layout": LAYOUT, "dtype": "q4", "group_size": "32", "block": "64"
        }  # fmt: skip
        assert file.shape("wte.weight.codes") == (2, 8, 64, 4)
        assert file.shape("h.0.attn.c_attn.weight.codes") == (2, 4, 64, 4)
        assert (file.dtype("wte.weight.scales"), file.shape("wte.weight.scales")) == ("F16", (2, 1, 64))
        assert (file.dtype("ln_f.bias"), file.shape("ln_f.bias")) == ("F32", (32,))
        assert "lm_head.weight.codes" not in file
    page = (Path(__file__).parents[2] / "docs" / "quantized-format.md").read_text(encoding="utf8")
    for word in (*file.metadata, "glassformer-packed", ".codes", ".scales", ".packed"):
        assert f"`{word}`" in page


def test_the_small_files_are_copied(tmp_path: Path) -> None:
    quantize(EMBEDDED, tmp_path / "deep" / "out")
    for name in ("config.json", "generation_config.json", "vocab.json", "merges.txt"):
        assert (tmp_path / "deep" / "out" / name).read_bytes() == (EMBEDDED / name).read_bytes()
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["out"]


def test_the_page_of_the_format_reads_a_matrix_back(drawn: Checkpoint, source: Path, tmp_path: Path) -> None:
    """With NumPy alone, as a reader of docs/quantized-format.md would."""
    for dtype, bits in (("q8", 8), ("q4", 4)):
        quantize(source, tmp_path / dtype, dtype=dtype)
        with open_safetensors(tmp_path / dtype / "model.safetensors") as file:
            codes, scales = file["h.0.mlp.c_fc.weight.codes"], file["h.0.mlp.c_fc.weight.scales"]
            if bits == 4:
                codes = np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1, 64, 4)
            q = codes.transpose(1, 3, 0, 2).reshape(32, -1).astype(np.float32) - 2 ** (bits - 1)
            wide = scales.astype(np.float32).transpose(1, 0, 2).reshape(1, -1)
        matrix = (q * np.repeat(wide, 32, axis=0))[:, :96]
        step = np.abs(wide[0, :96])
        assert (np.abs(matrix - drawn.tensors["h.0.mlp.c_fc.weight"]) <= step * (0.6 if bits == 8 else 1.5)).all()


def test_progress_ends_at_the_whole(source: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    quantize(source, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    loaded: list[tuple[int, int]] = []
    glassformer.load(source, dtype="q8", progress=lambda done, total: loaded.append((done, total)))
    with open_safetensors(source / "model.safetensors") as file:
        whole = sum(file.nbytes(name) for name in file)
    for calls in (told, loaded):
        assert [done for done, _ in calls] == sorted(done for done, _ in calls)
        assert calls[-1] == (whole, whole)


@pytest.mark.skipif(not hasattr(mmap.mmap, "madvise"), reason="nothing is fetched ahead")
def test_progress_of_a_packed_file(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassformer.formats.mapped._PIECE", mmap.PAGESIZE)
    quantize(source, tmp_path / "out")
    told: list[tuple[int, int]] = []
    glassformer.load(tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    with open_safetensors(tmp_path / "out" / "model.safetensors") as file:
        whole = sum(file.nbytes(name) for name in file)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 3
    assert told[-1] == (whole, whole)


# ------------------------------------------------------------ refusals


def test_what_is_there_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(QuantizeError, match="not empty"):
        quantize(source, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]
    quantize(source, tmp_path, force=True)
    quantize(source, tmp_path, dtype="q4", force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert isinstance(glassformer.load(tmp_path).network.weights.wte, QuantizedMatrix)
    with pytest.raises(QuantizeError, match="this is a file"):
        quantize(source, tmp_path / "notes.txt", force=True)
    with pytest.raises(QuantizeError, match="expected a folder"):
        quantize(source, tmp_path / "out.safetensors")


def test_no_vocabulary_of_the_model_before_stays(source: Path, tmp_path: Path) -> None:
    """Left beside another form of vocabulary, it would be read in its place, and the text be nonsense."""
    quantize(None, tmp_path / "out")
    (tmp_path / "out" / "added_tokens.json").write_text('{"<mine>": 7}')
    quantize(source, tmp_path / "out", force=True)
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"config.json", "model.safetensors"}
    assert glassformer.load(tmp_path / "out").tokenizer is None


def test_a_model_is_not_written_over_itself(source: Path) -> None:
    with pytest.raises(QuantizeError, match="the model itself"):
        quantize(source, source, force=True)


def test_packed_weights_are_not_packed_again(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "q8")
    with pytest.raises(QuantizeError, match="packed already"):
        quantize(tmp_path / "q8", tmp_path / "q4", dtype="q4")
    assert not (tmp_path / "q4").exists()


def test_an_unknown_dtype_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="'q5' is unknown; choose from q8, q4"):
        quantize(source, tmp_path / "out", dtype="q5")


def test_inputs_that_make_no_groups_are_refused(tmp_path: Path) -> None:
    case = checkpoint({})
    folder = save(tmp_path / "in", case.values, case.tensors)
    with pytest.raises(QuantizationError, match="24 inputs; q8 needs a multiple of 32"):
        quantize(folder, tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["in"]
    quantize(folder, tmp_path / "out", dtype="f16")


def test_a_full_disk_leaves_nothing_behind(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors_writer.os, "fsync", full)
    with pytest.raises(QuantizeError, match="No space left on device"):
        quantize(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_current_folder_may_be_the_target(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quantize(source, ".")
    assert Path("model.safetensors").is_file()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("asked", ["f32", "f16", "q4"])
def test_packed_weights_are_held_as_they_are(asked: str, source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out")
    with pytest.raises(PackedWeightsError, match=f"packed as q8 and cannot be held as {asked}"):
        glassformer.load(tmp_path / "out", dtype=asked)


def test_a_file_rewritten_by_others_still_works(source: Path, ids: list[int], tmp_path: Path) -> None:
    """Tools that keep the tensors but order and align them otherwise cost speed, not results."""
    quantize(source, tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    expected = glassformer.load(tmp_path / "out").logits(ids)
    with open_safetensors(path) as file:
        tensors, metadata = {name: np.array(file.raw(name)) for name in file}, file.metadata
    save_safetensors(path, tensors, {**metadata, "x": "y" * 3})
    assert np.array_equal(glassformer.load(tmp_path / "out").logits(ids), expected)


def test_the_configuration_need_not_say_that_the_head_is_apart(tmp_path: Path) -> None:
    case = checkpoint({**SIZES, "tie_word_embeddings": False})
    folder = save(tmp_path / "in", case.values, case.tensors)
    quantize(folder, tmp_path / "out")
    values = json.loads((tmp_path / "out" / "config.json").read_text())
    (tmp_path / "out" / "config.json").write_text(json.dumps({**values, "tie_word_embeddings": True}))
    assert not glassformer.load(tmp_path / "out").config.tie_word_embeddings
