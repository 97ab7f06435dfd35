"""Hostile safetensors files: our decision, the reference parser's on the same bytes, and nothing but our error."""

import random
from pathlib import Path

import numpy as np
import pytest
from corpus_safetensors import CORPUS, Case, file

from glassformer.errors import GlassformerError
from glassformer.formats.safetensors import SafetensorsError, SafetensorsFile, open_safetensors, save_safetensors
from glassformer.formats.safetensors_header import parse_header


def refusal(data: bytes, path: Path) -> str:
    """The message with which we refuse a file, or "" where we accept it; any error but ours fails the test."""
    path.write_bytes(data)
    try:
        with open_safetensors(path) as opened:
            for name in opened:
                read(opened, name)
    except SafetensorsError as error:
        return str(error)
    return ""


def read(opened: SafetensorsFile, name: str) -> None:
    """Read a tensor of an accepted file; only a shape that no array can have may be refused."""
    shape = opened.shape(name)
    if len(shape) > 64 or max(shape, default=0) > 2**63 - 1 or np.prod([max(1.0, size) for size in shape]) > 2**62:
        with pytest.raises(SafetensorsError, match="NumPy cannot hold"):
            opened[name]
    else:
        assert opened[name].flags.aligned
        assert not opened[name].flags.writeable


def reference_decision(data: bytes) -> bool:
    safetensors = pytest.importorskip("safetensors")
    try:
        safetensors.deserialize(data)
    except safetensors.SafetensorError:
        return False
    return True


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_corpus(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "hostile.safetensors"
    message = refusal(case.data, path)
    assert (not message) is case.accept, message
    if message:
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < 1000


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_reference_decides_alike(case: Case) -> None:
    assert reference_decision(case.data) is case.expected_of_reference
    assert (case.reference is None) == (not case.reason), "a deviation needs its reason"


def test_corpus_covers_both_sides() -> None:
    names = [case.name for case in CORPUS]
    assert len(set(names)) == len(names)
    assert sum(case.accept for case in CORPUS) > 40
    assert sum(not case.accept for case in CORPUS) > 100
    assert all(case.reference is None or not case.accept for case in CORPUS), "we are never laxer than the reference"


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*git lfs pull"),
        (b"PK\x03\x04", "a zip archive.*convert it to safetensors"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9", "a pickle.*convert it to safetensors"),
        (b"GGUF\x03\0\0\0\x10", "a GGUF file"),
        (b"<!DOCTYPE html>", "an HTML page.*fetch the file again"),
    ],
)
def test_files_of_other_kinds_are_told_apart(start: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(start + bytes(64))
    with pytest.raises(SafetensorsError, match=f"this is {message}"):
        open_safetensors(path)


def valid_file(tmp_path: Path) -> bytes:
    path = tmp_path / "valid.safetensors"
    tensors = {
        "wte.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
        "bias": np.arange(3, dtype=np.int64),
        "half": np.ones((2, 2), np.float16),
        "empty": np.zeros((0, 5), np.uint8),
    }
    save_safetensors(path, tensors, {"format": "pt"})
    return path.read_bytes()


def mutations(data: bytes, rng: random.Random) -> bytes:
    """One to three random edits of a file, most of them in the header."""
    edited = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(min(len(edited), 400)) if edited else 0
        kind = rng.randrange(5)
        if kind == 0:
            edited[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            edited[place : place + 1] = rng.choice(b'0123456789{}[]",:-.eE \\untf').to_bytes(1, "little")
        elif kind == 2:
            del edited[place : place + rng.randint(1, 8)]
        elif kind == 3:
            edited[place:place] = rng.choice([b"0", b"1", b",", b"]", b'"x":1,', b"\0", b"\xff", b" "])
        else:
            del edited[rng.randrange(len(edited) + 1) :]
    return bytes(edited)


def refused_as_recorded(data: bytes) -> bool:
    """Whether we refuse for a reason that the corpus records as a deviation: a key given twice."""
    try:
        parse_header(data, "mutated")
    except SafetensorsError as error:
        return "is given twice" in str(error)
    return False


def test_mutated_files_open_as_in_the_reference_or_raise_our_error(tmp_path: Path) -> None:
    valid, rng = valid_file(tmp_path), random.Random(20)
    accepted = 0
    for _ in range(3000):
        data = mutations(valid, rng)
        ours = True
        try:
            parse_header(data, "mutated")
        except GlassformerError:
            ours = False
        accepted += ours
        if ours != reference_decision(data):
            assert refused_as_recorded(data), data
    assert 100 < accepted < 2900


def test_mutated_header_with_honest_length(tmp_path: Path) -> None:
    """Edits of the JSON alone, under a length that fits, so that they reach the checks behind it."""
    valid, rng = valid_file(tmp_path), random.Random(21)
    length = int.from_bytes(valid[:8], "little")
    header, tensors = valid[8 : 8 + length], valid[8 + length :]
    accepted = 0
    for _ in range(3000):
        data = file(mutations(header, rng), tensors)
        ours = True
        try:
            parse_header(data, "mutated")
        except GlassformerError:
            ours = False
        accepted += ours
        if ours != reference_decision(data):
            assert refused_as_recorded(data), data
    assert 50 < accepted < 2900


def test_accepted_mutations_read_as_in_the_reference(tmp_path: Path) -> None:
    numpy_io = pytest.importorskip("safetensors.numpy")
    valid, rng = valid_file(tmp_path), random.Random(22)
    path, compared = tmp_path / "mutated.safetensors", 0
    for _ in range(400):
        data = mutations(valid, rng)
        if refusal(data, path):
            continue
        with open_safetensors(path) as ours:
            theirs = numpy_io.load(data)
            assert set(ours) == set(theirs)
            for name, array in theirs.items():
                assert ours[name].tobytes() == array.tobytes()
                assert ours.shape(name) == array.shape
            compared += 1
    assert compared > 10
