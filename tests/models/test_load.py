"""From folders to networks: types, names, shards, ties; each against the twin on the values that the file holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import Checkpoint, bf16_codes, checkpoint, prompt_of, rounded, save, save_tensors
from gpt2_twin import error, logits

import glassformer
from glassformer.models.load import LoadError, load_network
from glassformer.runtime.kv_cache import CacheError

EXACT = 3e-6
PREFIX = "transformer."
HELD = {"f32": "F32", "f16": "F16", "bf16": "BF16"}


@pytest.fixture(scope="module")
def drawn() -> Checkpoint:
    return checkpoint({"vocab_size": 70, "n_embd": 20, "n_head": 5, "n_inner": 45}, seed=5)


@pytest.fixture(scope="module")
def ids(drawn: Checkpoint) -> list[int]:
    return prompt_of(drawn.config)


@pytest.fixture(scope="module")
def plain(drawn: Checkpoint, ids: list[int], tmp_path_factory: pytest.TempPathFactory) -> npt.NDArray[Any]:
    """The logits of the checkpoint in its plainest form."""
    folder = save(tmp_path_factory.mktemp("plain"), drawn.values, drawn.tensors)
    return glassformer.load(folder).logits(ids)


def test_the_plain_form_is_right(drawn: Checkpoint, ids: list[int], plain: npt.NDArray[Any]) -> None:
    assert error(plain, logits(drawn.config, drawn.tensors, ids)) < EXACT


# ------------------------------------------------------------ types


def values_held(x: npt.NDArray[Any], stored: str, held: str) -> npt.NDArray[Any]:
    """What a weight is worth after it went from the file's type to the one asked for, by way of f32."""
    x = rounded(rounded(x, stored), "F32")
    return x if x.ndim == 1 or held == "auto" else rounded(x, HELD[held])


@pytest.mark.parametrize("held", ["auto", "f32", "f16", "bf16"])
@pytest.mark.parametrize("stored", ["F32", "F16", "BF16", "F64"])
def test_every_type_in_the_file_as_every_type_in_memory(
    stored: str, held: str, drawn: Checkpoint, ids: list[int], tmp_path: Path
) -> None:
    folder = save(tmp_path, drawn.values, drawn.tensors, dtype=stored)
    model = glassformer.load(folder, dtype=held)
    same = {name: values_held(x, stored, held) for name, x in drawn.tensors.items()}
    assert error(model.logits(ids), logits(drawn.config, same, ids)) < EXACT
    kind = {"auto": {"F64": "f32"}.get(stored, stored.lower())}.get(held, held)
    assert network_kinds(model) == {kind}


def network_kinds(model: glassformer.Model) -> set[str]:
    """The types that the matrices of a model are held in."""
    w: Any = model.network.weights  # type: ignore[attr-defined]
    matrices = [w.wte, w.wpe, w.lm_head, *(p.weight for b in w.h for p in (b.c_attn, b.attn_c_proj, b.c_fc))]
    return {matrix.kind.__name__ for matrix in matrices}


def test_types_may_be_mixed(drawn: Checkpoint, ids: list[int], tmp_path: Path) -> None:
    """Some checkpoints keep their layer norms in F32 beside F16 matrices."""
    half = {name: x.astype(np.float16) if x.ndim == 2 else x for name, x in drawn.tensors.items()}
    same = {name: x.astype(np.float64) for name, x in half.items()}
    found = glassformer.load(save(tmp_path, drawn.values, half)).logits(ids)
    assert error(found, logits(drawn.config, same, ids)) < EXACT


def test_values_at_the_edges_of_half_precision(drawn: Checkpoint, ids: list[int], tmp_path: Path) -> None:
    """Subnormals of F16 and BF16, and both zeros, are weights like any others."""
    small = {**drawn.tensors, "wte.weight": drawn.tensors["wte.weight"] * 2.0**-18}
    for dtype in ("F16", "BF16"):
        same = {name: rounded(x, dtype) for name, x in small.items()}
        assert (np.abs(same["wte.weight"]) < 6e-5).any()
        found = glassformer.load(save(tmp_path / dtype, drawn.values, small, dtype=dtype)).logits(ids)
        assert error(found, logits(drawn.config, same, ids)) < EXACT


# ------------------------------------------------------------ names and files


def variants(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """The same model as different exporters write it."""
    positions, layers = 48, (0, 1)
    causal = np.tril(np.ones((positions, positions), np.uint8)).reshape(1, 1, positions, positions)
    buffers = {f"h.{i}.attn.bias": causal for i in layers}
    buffers |= {f"h.{i}.attn.masked_bias": np.asarray(np.float32(-1e4)) for i in layers}
    prefixed = {PREFIX + name: x for name, x in tensors.items()}
    return {
        "prefixed": prefixed,
        "with buffers": {**tensors, **buffers},
        "prefixed with buffers": {**prefixed, **{PREFIX + name: x for name, x in buffers.items()}},
        "with the tied head": {**tensors, "lm_head.weight": tensors["wte.weight"]},
        "with the head alone": {
            ("lm_head.weight" if name == "wte.weight" else PREFIX + name): x for name, x in tensors.items()
        },
        "mixed": {(PREFIX if "attn" in name else "") + name: x for name, x in tensors.items()},
        "with strangers": {**tensors, "score.weight": np.zeros((3, 3), np.int32)},
    }


@pytest.mark.parametrize(
    "variant",
    [
        *("prefixed", "with buffers", "prefixed with buffers", "with the tied head", "with the head alone", "mixed"),
        "with strangers",
    ],
)
def test_names_as_exporters_write_them(
    variant: str, drawn: Checkpoint, ids: list[int], plain: npt.NDArray[Any], tmp_path: Path
) -> None:
    folder = save(tmp_path, drawn.values, drawn.tensors)
    save_tensors(folder / "model.safetensors", variants(drawn.tensors)[variant])
    assert np.array_equal(glassformer.load(folder).logits(ids), plain)


@pytest.mark.parametrize("shards", [2, 3, 28])
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_shards(
    shards: int, prefix: str, drawn: Checkpoint, ids: list[int], plain: npt.NDArray[Any], tmp_path: Path
) -> None:
    folder = save(tmp_path, drawn.values, drawn.tensors, prefix=prefix, shards=shards)
    assert len(list(folder.glob("*.safetensors"))) == shards
    assert np.array_equal(glassformer.load(folder).logits(ids), plain)


@pytest.mark.parametrize("name", ["wte.weight", "h.1.attn.c_proj.bias"])
def test_a_name_with_and_without_the_prefix_is_ambiguous(name: str, drawn: Checkpoint, tmp_path: Path) -> None:
    folder = save(tmp_path, drawn.values, {**drawn.tensors, PREFIX + name: drawn.tensors[name]})
    with pytest.raises(LoadError, match=rf"{name} and {PREFIX}{name}|{PREFIX}{name} and {name}"):
        glassformer.load(folder)


def test_tensors_need_not_be_aligned(
    drawn: Checkpoint, ids: list[int], plain: npt.NDArray[Any], tmp_path: Path
) -> None:
    """The format allows a header of any length, so that every tensor may start at an odd byte."""
    folder = save(tmp_path, drawn.values, drawn.tensors)
    file = folder / "model.safetensors"
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    file.write_bytes((size + 1).to_bytes(8, "little") + data[8 : 8 + size] + b" " + data[8 + size :])
    assert np.array_equal(glassformer.load(folder).logits(ids), plain)


# ------------------------------------------------------------ the head


def test_an_untied_head_is_the_file_s_own(drawn: Checkpoint, ids: list[int], tmp_path: Path) -> None:
    head = drawn.tensors["wte.weight"][::-1] + 0.25
    tensors = {**drawn.tensors, "lm_head.weight": np.ascontiguousarray(head)}
    untied = {**drawn.values, "tie_word_embeddings": False}
    found = glassformer.load(save(tmp_path, untied, tensors, prefix=PREFIX)).logits(ids)
    assert error(found, logits(Checkpoint(untied, tensors).config, tensors, ids)) < EXACT


def test_a_head_that_differs_stays_apart_whatever_the_config_says(
    drawn: Checkpoint, ids: list[int], tmp_path: Path
) -> None:
    """As transformers 5 reads it: a tied configuration is wrong about a checkpoint with two matrices."""
    tensors = {**drawn.tensors, "lm_head.weight": drawn.tensors["wte.weight"] * 0.5}
    tied, untied = (glassformer.load(save(tmp_path / str(tie), {**drawn.values, "tie_word_embeddings": tie}, tensors))
                    for tie in (True, False))  # fmt: skip
    assert np.array_equal(tied.logits(ids), untied.logits(ids))
    assert not tied.config.tie_word_embeddings


def test_a_tied_head_is_held_once(drawn: Checkpoint, tmp_path: Path) -> None:
    tensors = {**drawn.tensors, "lm_head.weight": drawn.tensors["wte.weight"]}
    weights = load_network(save(tmp_path, drawn.values, tensors)).weights
    assert weights.lm_head is weights.wte
    untied = load_network(save(tmp_path, {**drawn.values, "tie_word_embeddings": False}, tensors)).weights
    assert untied.lm_head is not untied.wte
    assert untied.nbytes == weights.nbytes + untied.lm_head.nbytes


# ------------------------------------------------------------ the cache


@pytest.mark.parametrize(
    ("dtype", "asked", "kind"),
    [("f32", "auto", "f32"), ("f16", "auto", "f32"), ("q8", "auto", "q8"), ("q8", "f16", "f16"), ("f32", "q8", "q8")],
)
def test_how_keys_and_values_are_held(dtype: str, asked: str, kind: str) -> None:
    model = glassformer.load(dtype=dtype, cache_dtype=asked)
    assert model.network.layout.kind == kind  # type: ignore[attr-defined]


def test_an_unknown_cache_dtype_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(CacheError, match="cache_dtype 'f64' is unknown; choose from auto, f32, f16, q8"):
        glassformer.load(tmp_path, cache_dtype="f64")


# ------------------------------------------------------------ parts


@pytest.mark.parametrize("part", [1, 5_000, 40_000])
def test_a_matrix_read_in_parts_is_the_same(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large matrices are mapped in parts; where the parts end must not show, in either layout."""
    wide = checkpoint({"vocab_size": 333, "n_embd": 140, "n_head": 5, "n_inner": 201, "n_layer": 1}, seed=6)
    text = prompt_of(wide.config)
    for dtype in ("F32", "BF16"):
        folder = save(tmp_path / dtype, wide.values, wide.tensors, dtype=dtype)
        whole = glassformer.load(folder).logits(text)
        monkeypatch.setattr("glassformer.runtime.packed.PART", part)
        assert np.array_equal(glassformer.load(folder).logits(text), whole)
        monkeypatch.undo()


def test_the_model_outlives_its_files(
    drawn: Checkpoint, ids: list[int], plain: npt.NDArray[Any], tmp_path: Path
) -> None:
    """Nothing that is computed with lies in the mapped file: a deleted or rewritten one changes nothing."""
    folder = save(tmp_path, drawn.values, drawn.tensors)
    model = glassformer.load(folder)
    file = folder / "model.safetensors"
    with file.open("r+b") as opened:
        opened.write(b"\xff" * file.stat().st_size)
    assert np.array_equal(model.logits(ids), plain)


def test_bf16_codes_round_to_even() -> None:
    """The helper that writes BF16 for these tests, against values rounded by hand."""
    halfway = np.array([1.0 + 2.0**-8, 1.0 + 3 * 2.0**-8, 1.0 + 2.0**-8 + 2.0**-20, -1.0])
    assert bf16_codes(halfway).tolist() == [0x3F80, 0x3F82, 0x3F81, 0xBF80]
