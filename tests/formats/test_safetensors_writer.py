"""Writing safetensors: byte for byte as the reference, whole or not at all."""

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassformer.formats import safetensors_writer
from glassformer.formats.dtypes import DTYPES
from glassformer.formats.safetensors import SafetensorsError, open_safetensors, save_safetensors
from glassformer.formats.safetensors_writer import Declared, stream_safetensors

CODES = ("?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "c8", "u8", "i8", "f8")
SHAPES = ((), (0,), (3, 5), (2, 0, 3), (7,))


def samples() -> dict[str, np.ndarray]:
    """Every NumPy type of the format in several shapes."""
    rng = np.random.default_rng(3)
    return {f"{code}{shape}": rng.integers(0, 2, shape).astype(code) for code in CODES for shape in SHAPES}


def test_same_bytes_as_the_reference(tmp_path: Path) -> None:
    numpy_io = pytest.importorskip("safetensors.numpy")
    for tensors in (samples(), {}, {'quote " back \\ é \n': np.ones(3, np.float32)}):
        save_safetensors(tmp_path / "a", tensors)
        assert (tmp_path / "a").read_bytes() == numpy_io.save(tensors)
    save_safetensors(tmp_path / "a", {"x": np.ones(2)}, {"format": "np"})
    assert (tmp_path / "a").read_bytes() == numpy_io.save({"x": np.ones(2)}, {"format": "np"})


def test_round_trip_is_exact_and_aligned(tmp_path: Path) -> None:
    tensors = samples() | {"nan": np.array([np.nan, -np.inf, -0.0])}
    save_safetensors(tmp_path / "a", tensors, {"k": "v", "": "é"})
    with open_safetensors(tmp_path / "a") as file:
        assert file.metadata == {"k": "v", "": "é"}
        assert set(file) == set(tensors)
        for name, array in tensors.items():
            assert file[name].dtype == array.dtype
            assert file[name].shape == array.shape
            assert file[name].tobytes() == array.tobytes()
            assert not array.size or file[name].base is not None, "aligned, so a view"


def test_any_layout_and_byte_order(tmp_path: Path) -> None:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    views = {"t": base.T, "strided": base[::2, ::-3], "fortran": np.asfortranarray(base), "big": base.astype(">f4")}
    save_safetensors(tmp_path / "a", views)
    with open_safetensors(tmp_path / "a") as file:
        for name, array in views.items():
            np.testing.assert_array_equal(file[name], array)


@pytest.mark.parametrize(
    ("tensors", "metadata", "dtypes", "message"),
    [
        ({"x": np.ones(1, np.complex128)}, None, None, "'x': the format has no type for NumPy's complex128"),
        ({"x": np.array(["a"])}, None, None, "'x': the format has no type"),
        ({"x": np.array([None])}, None, None, "'x': the format has no type"),
        ({"x": [1.0]}, None, None, "'x': found list, expected a NumPy array"),
        ({"__metadata__": np.ones(1)}, None, None, "a name must be"),
        ({"\ud800": np.ones(1)}, None, None, "a name must be"),
        ({1: np.ones(1)}, None, None, "a name must be"),
        ({}, {"k": 1}, None, "metadata 'k' is 1, expected strings"),
        ({}, {"k": "\ud800"}, None, "expected strings"),
        ({"x": np.ones(1)}, None, {"y": "BF16"}, "dtypes names 'y'"),
        ({"x": np.ones(1)}, None, {"x": "BF16"}, "BF16 is stored as uint16, found an array of float64"),
        ({"x": np.ones(1)}, None, {"x": "F99"}, "found dtype 'F99'"),
        ({"x": np.ones(2, np.uint8)}, None, {"x": "F6_E2M3"}, "not whole elements of F6_E2M3"),
    ],
)
def test_refused_before_anything_is_written(
    tmp_path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str], dtypes: dict[str, str], message: str
) -> None:
    with pytest.raises(SafetensorsError, match=message):
        save_safetensors(tmp_path / "a", tensors, metadata, dtypes)
    assert list(tmp_path.iterdir()) == []


def test_packed_shape_is_in_elements(tmp_path: Path) -> None:
    tensors = {"f4": np.zeros((2, 3), np.uint8), "f6": np.zeros((2, 3), np.uint8)}
    save_safetensors(tmp_path / "a", tensors, dtypes={"f4": "F4", "f6": "F6_E3M2"})
    with open_safetensors(tmp_path / "a") as file:
        assert (file.shape("f4"), file.shape("f6")) == ((2, 6), (2, 4))


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a.safetensors"
    save_safetensors(place, {"x": np.zeros(3)})
    old = place.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors_writer.os, "fsync", full)
    with pytest.raises(SafetensorsError, match=r"a\.safetensors: cannot write it: No space left on device"):
        save_safetensors(place, {"x": np.ones(3)})
    assert place.read_bytes() == old
    assert list(tmp_path.iterdir()) == [place]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SafetensorsError, match="cannot write it: No such file or directory"):
        save_safetensors(tmp_path / "none" / "a", {})


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be replaced on Windows")
def test_saving_over_the_file_that_is_open(tmp_path: Path) -> None:
    place = tmp_path / "a.safetensors"
    save_safetensors(place, {"x": np.arange(4.0)})
    with open_safetensors(place) as file:
        save_safetensors(place, {"x": file["x"] + 1})
        assert file["x"].tolist() == [0, 1, 2, 3]
    with open_safetensors(place) as file:
        assert file["x"].tolist() == [1, 2, 3, 4]


# ------------------------------------------------------------ tensors that are made one at a time


DECLARED = [
    Declared("b", "F16", (2, 32)),
    Declared("a", "BF16", (3,)),
    Declared("c", "U8", ()),
    Declared("d", "F32", (0, 4)),
]


def made() -> list[Any]:
    return [np.ones((2, 32), np.float16), np.arange(3).astype("<u2"), np.full((), 7, "u1"), np.empty((0, 4), "<f4")]


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_a_stream_keeps_its_order_and_aligns_the_first(alignment: int, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    stream_safetensors(path, DECLARED, iter(made()), {"k": "v"}, alignment=alignment)
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    assert header % alignment == 0
    with open_safetensors(path) as file:
        assert list(file) == ["b", "a", "c", "d"]
        assert file.metadata == {"k": "v"}
        assert all(np.array_equal(file.raw(each.name), x) for each, x in zip(DECLARED, made(), strict=True))


def test_only_one_array_of_a_stream_is_asked_for_at_a_time(tmp_path: Path) -> None:
    alive: list[Any] = []

    def arrays() -> Iterator[Any]:
        for each in DECLARED:
            assert not any(earlier() is not None for earlier in alive)
            array = np.ones(each.shape, DTYPES[each.dtype].storage)
            alive.append(weakref.ref(array))
            yield array
            del array

    stream_safetensors(tmp_path / "a.safetensors", DECLARED, arrays())
    assert len(alive) == len(DECLARED)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        (made()[:-1], "'d' is declared F32"),
        ([np.ones((2, 31), np.float16), *made()[1:]], "'b' is declared F16"),
        ([np.ones((2, 32), np.float32), *made()[1:]], "'b' is declared F16"),
    ],
    ids=["too few", "shape", "type"],
)
def test_a_stream_that_is_not_as_declared_leaves_nothing(arrays: list[Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(SafetensorsError, match=named):
        stream_safetensors(tmp_path / "a.safetensors", DECLARED, arrays)
    assert list(tmp_path.iterdir()) == []


def test_a_name_declared_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SafetensorsError, match="'b' is declared twice"):
        stream_safetensors(tmp_path / "a.safetensors", [DECLARED[0]] * 2, [])
