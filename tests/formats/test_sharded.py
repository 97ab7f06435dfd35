"""Weights over one file or many, and every way in which an index can be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from glassformer.formats.safetensors import SafetensorsError, save_safetensors
from glassformer.formats.sharded import open_weights, weights_file

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in two shards: a, b in the first, c in the second."""
    save_safetensors(tmp_path / FIRST, {"a": np.zeros(2), "b": np.ones((2, 2), np.float32)}, {"format": "pt", "n": "1"})
    save_safetensors(tmp_path / SECOND, {"c": np.array([0x3F80], np.uint16)}, {"n": "2"}, {"c": "BF16"})
    write_index(tmp_path, {"a": FIRST, "b": FIRST, "c": SECOND})
    return tmp_path


def write_index(folder: Path, weight_map: object) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 34}, "weight_map": weight_map}))


def test_shards_are_one_mapping(folder: Path) -> None:
    for place in (folder, folder / INDEX, str(folder)):
        with open_weights(place) as weights:
            assert set(weights) == {"a", "b", "c"}
            assert len(weights) == 3
            assert "c" in weights
            assert "d" not in weights
            assert weights["c"].tolist() == [1.0]
            assert weights.raw("c").dtype == np.uint16
            assert (weights.dtype("c"), weights.shape("b"), weights.nbytes("b")) == ("BF16", (2, 2), 16)
            assert [first for first, _ in weights.blocks("b", 8)] == [0, 1]
            assert weights.metadata == {"format": "pt", "n": "1"}
            weights.release("b")
            weights.release()
            assert weights["b"].sum() == 4
            assert len(weights.files) == 2
        with pytest.raises(SafetensorsError, match="closed"):
            weights["a"]


def test_single_file(folder: Path) -> None:
    with open_weights(folder / FIRST) as weights:
        assert set(weights) == {"a", "b"}
        with pytest.raises(KeyError, match="no tensor 'c'"):
            weights["c"]
    (folder / FIRST).rename(folder / "model.safetensors")
    with open_weights(folder) as weights:
        assert set(weights) == {"a", "b"}, "model.safetensors goes before an index"


def test_which_file_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SafetensorsError, match=r"expected model\.safetensors or .*; found \[\]"):
        weights_file(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(SafetensorsError, match=r"found \['pytorch_model\.bin'\]; convert it to safetensors"):
        open_weights(tmp_path)
    (tmp_path / "one.safetensors").touch()
    assert weights_file(tmp_path).name == "one.safetensors"
    (tmp_path / "two.safetensors").touch()
    with pytest.raises(SafetensorsError, match=r"found \['one\.safetensors', 'two\.safetensors'\]; leave one"):
        weights_file(tmp_path)
    with pytest.raises(SafetensorsError, match="cannot open it"):
        open_weights(tmp_path / "absent")


LEAVING = ("../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..", ".", "", "a\\x.safetensors", "x.bin")
UNFIT = ("C:x.safetensors", "x.safetensors\0", "x\n.safetensors", f"{'a' * 300}.safetensors", "\ud800.safetensors")


@pytest.mark.parametrize("name", LEAVING + UNFIT, ids=ascii)
def test_names_that_leave_the_folder(folder: Path, name: str) -> None:
    write_index(folder, {"a": FIRST, "b": name})
    with pytest.raises(SafetensorsError, match=r"expected a plain file name|unpaired surrogate") as error:
        open_weights(folder)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (None, "found weight_map None, expected an object"),
        ([], r"found weight_map \[\], expected an object"),
        ({"a": 1}, "tensor 'a': found 1, expected a file name"),
        ({"a": None}, "tensor 'a': found None, expected a file name"),
        ({"a": [FIRST]}, "tensor 'a': found .*, expected a file name"),
        ({"a": FIRST, "z": "gone.safetensors"}, r"the shard 'gone\.safetensors' is missing"),
        ({"a": FIRST, "b": FIRST, "c": SECOND, "d": SECOND}, "tensor 'd' is absent from its shard .*; it is in none"),
        ({"a": FIRST, "b": SECOND, "c": SECOND}, "tensor 'b' is absent from its shard .*; it is in 'model-00001"),
    ],
)
def test_index_that_disagrees(folder: Path, weight_map: object, message: str) -> None:
    write_index(folder, weight_map)
    with pytest.raises(SafetensorsError, match=message) as error:
        open_weights(folder)
    assert str(folder / INDEX) in str(error.value)


def test_tensor_in_two_shards(folder: Path) -> None:
    save_safetensors(folder / SECOND, {"c": np.zeros(1), "a": np.zeros(2)})
    with pytest.raises(SafetensorsError, match=r"tensor 'a' is in two shards, 'model-00001.* and 'model-00002"):
        open_weights(folder)


def test_shard_that_is_damaged_names_itself(folder: Path) -> None:
    (folder / SECOND).write_bytes((folder / SECOND).read_bytes()[:-1])
    with pytest.raises(SafetensorsError, match=r"00002\.safetensors: found \d+ bytes, expected \d+ .*cut short"):
        open_weights(folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 10**5, b'{"weight_map":{"a":"x","a":"y"}}', b"{}"])
def test_index_that_is_no_index(folder: Path, text: bytes) -> None:
    (folder / INDEX).write_bytes(text)
    with pytest.raises(SafetensorsError, match=INDEX):
        open_weights(folder)


def test_tensor_that_the_index_forgot_is_not_lost(folder: Path) -> None:
    write_index(folder, {"a": FIRST, "c": SECOND})
    with open_weights(folder) as weights:
        assert set(weights) == {"a", "b", "c"}
