"""The file of results: one writer, cut where it was torn, nobody else's, and no other run's."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glassformer.batch.errors import OutputError
from glassformer.batch.lines import Line, digest_of
from glassformer.batch.output import Output
from glassformer.batch.results import Result, failure

TERMS = {"task": "generate", "seed": 3, "max_new_tokens": 5}


def result(number: int, text: str = "Zoë\n\u2028{") -> bytes:
    line = Line(number, b"x%d" % number, digest_of(b"x%d" % number))
    if number == 4:
        return failure(line, ValueError("no"), {"id": "}"}).data
    return Result.of(line, {"text": text, "ids": [1, 2]}).data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.jsonl"


@pytest.fixture
def written(path):
    """A file with four results, whose bytes are given."""
    with Output(path) as output:
        output.begin(TERMS)
        for number in (2, 1, 4, 3):
            output.append(result(number))
    return path.read_bytes()


def test_results_are_read_again_in_order(path, written):
    with Output(path) as output:
        assert output.done.numbers.tolist() == [1, 2, 3, 4]
        assert [f"{digest:016x}" for digest in output.done.digests.tolist()] == [
            digest_of(b"x%d" % n) for n in range(1, 5)
        ]
        assert output.done.failed == 1
        output.begin(TERMS)
        output.append(result(5))
    assert path.read_bytes() == written + result(5)
    assert json.loads(path.with_name("out.jsonl.state").read_bytes()) == {"format": "glassformer batch 1", **TERMS}


def test_a_file_cut_at_any_byte_goes_on(path, written, monkeypatch):
    """Every line is there once at the end, whatever byte was the last one written."""
    monkeypatch.setattr("os.fsync", lambda handle: None)  # hundreds of files
    whole = {number: result(number) for number in (2, 1, 4, 3)}
    for length in [0, 1, *range(len(result(2)), len(written) - len(result(3)) + 1), len(written)]:
        path.write_bytes(written[:length])
        with Output(path) as output:
            output.begin(TERMS)
            missing = [number for number in whole if number not in output.done.numbers]
            assert len(output.done) == written[:length].count(b"\n")
            for number in missing:
                output.append(whole[number])
        assert path.read_bytes() == written


def test_space_that_a_crash_left_unwritten_is_cut_off(path, written):
    for rest in (b"\0" * 5000, b'{"line": 5, "dig\0\0\0'):
        path.write_bytes(written + rest)
        with Output(path) as output:
            assert len(output.done) == 4
        assert path.read_bytes() == written


@pytest.mark.parametrize("foreign", [b"precious\n", b"precious", b'{"line": 1}\n', b"[]\n", b"\n", b'{"text": "', b" "])
def test_what_is_no_result_is_never_cut_off(path, written, foreign):
    for content in (foreign + written, written + foreign, foreign):
        path.write_bytes(content)
        if content == written + b'{"line": 1}':
            continue
        with pytest.raises(OutputError, match=r"out\.jsonl is damaged: its line \d is no result"):
            Output(path)
        assert path.read_bytes() == content


def test_a_second_result_of_a_line_is_damage(path, written):
    path.write_bytes(written + result(2))
    with pytest.raises(OutputError, match="it has two results of line 2"):
        Output(path)


def test_a_file_of_somebody_else_is_never_touched(path):
    path.write_bytes(b"precious\n")
    for restart in (False, True):
        with pytest.raises(OutputError, match="was not written by this command"):
            Output(path, restart=restart)
    path.with_name("out.jsonl.state").write_text('{"format": "another"}')
    with pytest.raises(OutputError, match="of another format"):
        Output(path, restart=True)
    path.with_name("out.jsonl.state").write_bytes(b"\xff")
    with pytest.raises(OutputError, match="not valid UTF-8"):
        Output(path, restart=True)
    assert path.read_bytes() == b"precious\n"


def test_a_state_of_somebody_else_is_never_replaced(path):
    path.with_name("out.jsonl.state").write_text("precious")
    for content in (None, b""):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(OutputError, match=r"out\.jsonl\.state: not JSON"):
            Output(path)
    assert path.with_name("out.jsonl.state").read_text() == "precious"


def test_an_empty_file_is_taken(path):
    path.touch()
    with Output(path) as output:
        output.begin(TERMS)
        output.append(result(1))
    assert path.read_bytes() == result(1)


def test_other_terms_are_refused_and_named(path, written):
    with Output(path) as output, pytest.raises(OutputError) as caught:
        output.begin({"task": "generate", "seed": 4, "top_k": 2})
    message = str(caught.value)
    assert "seed was 3 and is 4; max_new_tokens was 5 and is not given; top_k was not given and is 2" in message
    assert "--restart" in message
    with Output(path) as output:
        output.check(TERMS)
        output.begin(TERMS)
    assert path.read_bytes() == written


def test_a_model_is_compared_once_it_is_known(path):
    with Output(path) as output:
        output.begin(TERMS | {"model": "a"})
        output.append(result(1))
    with Output(path) as output:
        output.check(TERMS)
        with pytest.raises(OutputError, match='model was "a" and is "b"'):
            output.begin(TERMS | {"model": "b"})


def test_restart_drops_results_and_other_terms(path, written):
    with Output(path, restart=True) as output:
        assert len(output.done) == 0
        output.begin({"task": "score"})
        output.append(result(9))
    assert path.read_bytes() == result(9)
    with Output(path) as output:
        output.check({"task": "score"})


def test_restart_keeps_results_until_there_is_a_run_to_replace_them(path, written):
    with Output(path, restart=True) as output:
        assert (output.begun, len(output.done)) == (None, 0)
    assert path.read_bytes() == written
    with Output(path, restart=True) as output:
        output.drop()
    assert path.read_bytes() == b""


def test_terms_without_results_hold_nobody(path):
    """Killed between the state and the first result, a run may begin otherwise."""
    with Output(path) as output:
        output.begin(TERMS)
    path.write_bytes(b'{"li')
    with Output(path) as output:
        output.begin({"task": "embed"})
    assert path.read_bytes() == b""


def test_one_process_writes(path, written):
    held = Output(path)
    for restart in (False, True):
        with pytest.raises(OutputError, match="is being written by another process"):
            Output(path, restart=restart)
    command = "import sys, pathlib; from glassformer.batch.output import Output; Output(pathlib.Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", command, path], capture_output=True, text=True, check=False)
    assert "is being written by another process" in other.stderr
    held.close()
    Output(path).close()
    assert path.read_bytes() == written


def test_a_full_disk_keeps_what_is_done(path, written, monkeypatch):
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data[:40])

    with Output(path) as output:
        output.begin(TERMS)
        monkeypatch.setattr("os.write", full)
        with pytest.raises(OutputError, match="cannot write it: No space left on device; the results so far are kept"):
            output.append(result(5))
    monkeypatch.undo()
    assert path.read_bytes().startswith(written + b'{"line": 5')
    with Output(path) as output:
        assert output.done.numbers.tolist() == [1, 2, 3, 4]


def test_a_disk_that_is_full_from_the_start_is_told_with_the_name(path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    output = Output(path)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"out\.jsonl\.state: cannot write it: No space .*; make room for it"):
        output.begin(TERMS)
    with pytest.raises(OutputError, match=r"out\.jsonl: cannot write it: No space .*; the results so far are kept"):
        output.close()
    assert output.file.closed


def test_what_is_no_file_is_refused(tmp_path):
    for folder in (tmp_path, Path(), Path("/")):
        with pytest.raises(OutputError, match="no regular file"):
            Output(folder)
    with pytest.raises(OutputError, match="cannot write it: No such file or directory"):
        Output(tmp_path / "missing" / "out.jsonl")
    with pytest.raises(OutputError, match="no regular file"):
        Output(tmp_path.joinpath("/dev/null"))
