"""The command line as a process: readers that leave, disks that are full, signals, streams that are closed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import glassformer

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and devices")


def start(*arguments: str | bytes, **streams: Any) -> "subprocess.Popen[bytes]":
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
    return subprocess.Popen([sys.executable, "-m", "glassformer", *arguments], **pipes)


@posix
@pytest.mark.parametrize("arguments", [("tokenize", "--tokens", "-"), ("tokenize", "-"), ("info",), ("--help",)])
def test_a_reader_that_leaves_ends_it_silently(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = start(*arguments, stdout=writer)
    os.close(writer)
    _, err = child.communicate(b"word " * 50_000, timeout=60)
    assert (child.returncode, err) == (141, b"")


@posix
def test_a_full_disk_is_a_failure_with_one_line() -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        child = start("tokenize", "a", stdout=full)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert err.startswith(b"glassformer: ")
    assert err.count(b"\n") == 1


@posix
def test_interrupt_while_waiting_for_standard_input() -> None:
    child = start("tokenize", "-")
    assert child.stdin is not None
    child.stdin.write(b"word " * 200_000)  # more than a pipe holds: when this returns, the command is reading
    child.stdin.flush()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (130, b"", b"")


@posix
def test_a_reader_that_leaves_in_the_middle_of_a_story_ends_it_silently() -> None:
    child = start("generate", "--ignore-eos", "-n", "500", "Once upon a time")
    assert child.stdout is not None
    assert child.stdout.read(1)
    child.stdout.close()
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, b"")


@posix
@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_interrupt_in_the_middle_of_a_story_ends_its_line(threads: str) -> None:
    child = start("generate", "--ignore-eos", "-n", "500", "--threads", threads, "Once upon a time")
    assert child.stdout is not None
    begun = child.stdout.read(1)
    child.send_signal(signal.SIGINT)
    rest, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, b"")
    assert begun + rest.rstrip() != b""
    assert rest.endswith(b"\n")


@posix
def test_interrupt_within_exec_is_an_exit_code_too(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(Path(glassformer.__file__).parent.parent)!r})
from glassformer.cli import app, main
app.run = lambda arguments: exec("raise KeyboardInterrupt")
sys.exit(main.main())
"""
    (tmp_path / "interrupted.py").write_text(script)
    done = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")
