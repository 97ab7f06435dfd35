"""Reading safetensors: the mapping, its types, memory; against the reference package where it is installed."""

import gc
import mmap
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from glassformer.formats import mapped
from glassformer.formats.safetensors import (
    SafetensorsError,
    TensorNotFoundError,
    open_safetensors,
    save_safetensors,
)

MODELS = Path(__file__).parents[2] / "../shared/data/models"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one tensor of each kind of conversion."""
    place = tmp_path / "weights.safetensors"
    tensors = {
        "f32": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f16": np.array([1, -2], np.float16),
        "bf16": np.array([0x3F80, 0xC040], np.uint16),
        "e4m3": np.array([0x38, 0xB8], np.uint8),
        "f4": np.array([[0x10, 0x32]], np.uint8),
        "flag": np.array([True, False]),
        "scalar": np.array(7, np.int64),
        "empty": np.zeros((0, 4), np.float64),
    }
    save_safetensors(place, tensors, {"format": "np"}, {"bf16": "BF16", "e4m3": "F8_E4M3", "f4": "F4"})
    return place


def test_mapping(path: Path) -> None:
    with open_safetensors(path) as file:
        assert set(file) == set(file.keys()) == {"f32", "f16", "bf16", "e4m3", "f4", "flag", "scalar", "empty"}
        assert len(file) == 8
        assert "f32" in file
        assert "f33" not in file
        assert file.get("f33") is None
        assert file.metadata == {"format": "np"}
        assert {name: array.shape for name, array in file.items()}["f32"] == (2, 3)
        assert repr(file).endswith("8 tensors)")


def test_values_and_storage(path: Path) -> None:
    with open_safetensors(path) as file:
        np.testing.assert_array_equal(file["f32"], np.arange(6, dtype=np.float32).reshape(2, 3))
        assert file["f16"].dtype == np.float16
        assert file["bf16"].dtype == file["e4m3"].dtype == np.float32
        assert file["bf16"].tolist() == [1.0, -3.0]
        assert file["e4m3"].tolist() == [1.0, -1.0]
        assert file["flag"].tolist() == [True, False]
        assert file["scalar"].shape == ()
        assert file["scalar"] == 7
        assert file["empty"].shape == (0, 4)
        assert file.raw("bf16").dtype == np.uint16
        assert file.raw("bf16").tolist() == [0x3F80, 0xC040]
        assert file.raw("e4m3").dtype == np.uint8
        assert file.raw("f4").tolist() == file["f4"].tolist() == [0x10, 0x32]
        assert [file.dtype(name) for name in ("bf16", "e4m3", "f4")] == ["BF16", "F8_E4M3", "F4"]
        assert file.shape("f4") == (1, 4)
        assert [file.nbytes(name) for name in ("f4", "f32", "empty")] == [2, 24, 0]


def test_arrays_are_read_only_views_that_outlive_the_file(path: Path) -> None:
    file = open_safetensors(path)
    view, codes = file["f32"], file.raw("bf16")
    for array in (view, codes, file["bf16"], file["empty"]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    file.close()
    file.close()
    gc.collect()
    assert view.sum() == 15
    assert codes[0] == 0x3F80
    with pytest.raises(SafetensorsError, match="the file is closed"):
        file["f32"]


def test_views_share_the_mapped_bytes(path: Path) -> None:
    with open_safetensors(path) as file:
        first, second = file["f32"], file["f32"]
        assert first.__array_interface__["data"][0] == second.__array_interface__["data"][0]


def test_unknown_name_is_a_key_error_that_helps(path: Path) -> None:
    with open_safetensors(path) as file:
        for read in (file.__getitem__, file.dtype, file.shape, file.raw, file.release):
            with pytest.raises(KeyError):
                read("f320")
        with pytest.raises(TensorNotFoundError, match=r"weights.safetensors: no tensor 'f320'; near it: 'f32'"):
            file["f320"]


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    with pytest.raises(SafetensorsError, match=r"absent\.safetensors: cannot open it: No such file"):
        open_safetensors(tmp_path / "absent.safetensors")
    with pytest.raises(SafetensorsError, match="not a regular file"):
        open_safetensors(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SafetensorsError, match="not a regular file"):
            open_safetensors(tmp_path / "pipe")


def test_unaligned_tensor_is_copied_to_its_alignment(tmp_path: Path) -> None:
    header = (
        b'{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}'
    )
    values = np.array([1.5, -2.5], np.float32)
    place = tmp_path / "unaligned.safetensors"
    place.write_bytes(len(header).to_bytes(8, "little") + header + b"\x07" + values.tobytes())
    with open_safetensors(place) as file:
        assert file["a"].flags.aligned
        assert file["a"].tolist() == [1.5, -2.5]
        assert [(first, rows.tolist()) for first, rows in file.blocks("a", 4)] == [(0, [1.5]), (1, [-2.5])]


@pytest.mark.parametrize("max_bytes", [1, 12, 30, 10**6])
def test_blocks_put_together_are_the_tensor(path: Path, max_bytes: int) -> None:
    with open_safetensors(path) as file:
        for name in file:
            blocks = list(file.blocks(name, max_bytes))
            whole = np.atleast_1d(file.raw(name))
            assert [first for first, _ in blocks] == np.cumsum([0, *(len(rows) for _, rows in blocks)])[:-1].tolist()
            if blocks:
                np.testing.assert_array_equal(np.concatenate([rows for _, rows in blocks]), whole)
            else:
                assert len(whole) == 0


def test_read_whole_where_mapping_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError("no mapping on this file system")

    monkeypatch.setattr(mapped.mmap, "mmap", type("mmap", (), {"__new__": refuse}))
    with open_safetensors(path) as file:
        assert file["f32"].sum() == 15
        file.release()
        assert file["bf16"].tolist() == [1.0, -3.0]


def resident_of_files() -> int:
    """Bytes of mapped files that are in this process's memory."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[2]) * mmap.PAGESIZE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_release_and_blocks_give_pages_back(tmp_path: Path) -> None:
    size = 64 << 20
    place = tmp_path / "large.safetensors"
    save_safetensors(place, {"w": np.ones((1024, size // 4096), np.float32)})
    with open_safetensors(place) as file:
        before = resident_of_files()
        assert file["w"].sum() == size // 4
        assert resident_of_files() - before > size * 3 // 4
        file.release("w")
        assert resident_of_files() - before < size // 8
        peak = 0
        for _, rows in file.blocks("w", 4 << 20):
            assert rows.min() == 1
            peak = max(peak, resident_of_files() - before)
        assert peak < size // 4
        assert file["w"][-1, -1] == 1
        file.release()
        assert resident_of_files() - before < size // 8


@pytest.mark.parametrize("model", ["gpt2-capp", "gpt2-adder"])
def test_published_models_read_as_in_the_reference(model: str) -> None:
    numpy_io = pytest.importorskip("safetensors.numpy")
    place = MODELS / model / "model.safetensors"
    if not place.exists():
        pytest.skip("no published models beside the checkout")
    expected = numpy_io.load_file(place)
    with open_safetensors(place) as file:
        assert set(file) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(file[name], array)
            assert file[name].dtype == array.dtype


def test_fetching_ahead_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_safetensors(path, {"a": np.arange(5000, dtype=np.float32)})
    with open_safetensors(path) as file:
        done = list(file.fetch())
        assert done in ([], [path.stat().st_size])  # nothing where the system has no advice to give
        assert np.array_equal(file["a"], np.arange(5000))
    assert list(file.fetch()) == []
