"""Lines from a pipe: the same ones, however they come; and results do not wait for the next one."""

import io
import json
import os
import random
import subprocess
import sys
import threading

import pytest

from glassformer.batch import lines
from glassformer.batch.lines import read_lines
from glassformer.batch.pipe import Pipe


def test_lines_are_the_same_however_they_come(monkeypatch):
    monkeypatch.setattr(lines, "MOST_BYTES", 100)
    draw = random.Random(3)
    data = b"\n".join(draw.randbytes(draw.choice([0, 1, 20, 99, 100, 101, 300])) for _ in range(60))
    reader, writer = os.pipe()

    def write() -> None:
        left = data
        while left:
            size = draw.randrange(1, 90)
            os.write(writer, left[:size])
            left = left[size:]
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    found = list(read_lines(Pipe(reader)))
    thread.join()
    os.close(reader)
    assert found == list(read_lines(io.BytesIO(data)))


def test_it_is_idle_until_a_line_or_the_end_has_come():
    reader, writer = os.pipe()
    pipe = Pipe(reader)
    assert pipe.idle()
    os.write(writer, b"a\nb\nc")
    assert not pipe.idle()
    assert [pipe.readline(10), pipe.idle(), pipe.readline(10)] == [b"a\n", False, b"b\n"]
    assert pipe.idle()
    os.close(writer)
    assert not pipe.idle()
    assert [pipe.readline(10), pipe.readline(10), pipe.idle()] == [b"c", b"", False]
    os.close(reader)


@pytest.mark.parametrize(("task", "line"), [("generate", b'{"prompt": "a"}\n'), ("score", b'{"text": "a b c"}\n')])
def test_a_result_comes_before_the_next_line(task, line):
    """A program may ask one thing after the other."""
    command = [sys.executable, "-m", "glassformer", "batch", "-", "--task", task, "--quiet", "--threads", "1"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    for number in (1, 2, 3):
        child.stdin.write(line)
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["line"] == number
    child.stdin.close()
    assert (child.stdout.read(), child.wait(60)) == (b"", 0)
    child.stdout.close()
