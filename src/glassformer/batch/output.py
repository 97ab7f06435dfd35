"""A file of results that one process writes, which may be killed at any byte, and the next goes on with.

Results are lines of JSON, written whole as lines come to their end. Beside `OUT.jsonl` lies `OUT.jsonl.state`: what
decides the results, so that nobody goes on with other parameters or another model. What is done stands in the results
themselves: each has its line's number, and a digest of that line's bytes. A last line without an end was torn by the
death of its writer, and is cut off; lines that were under way are done again, with the same result to the bit.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from glassformer.batch.done import Done
from glassformer.batch.errors import OutputError
from glassformer.batch.results import BEGIN, KNOWN
from glassformer.batch.terms import differences
from glassformer.formats.strict_json import JsonError, read_object

FORMAT = "glassformer batch 1"
MOST_STATE = 64 << 20  # bytes; a schema of constraints may be long
BESIDE = ("format", "model")  # of what a state holds: not told by the command line
ELSEWHERE = "name another output, or move this one away"
KEPT = "the results so far are kept, and the same command goes on behind them"


class Output:
    """The file, open and locked; a context manager that closes it.

    Attributes:
        begun: what decided the results that are there; None where there are none.
        done: the lines that have one.
    """

    def __init__(self, path: Path, *, restart: bool = False) -> None:
        """restart: pass over what is there, if it was written by a run before, and drop it once this one begins.

        Raises:
            OutputError: if another process writes it, it is no file of results, or it is damaged.
        """
        self.file = opened(path)
        self.path, self.state = path, path.with_name(path.name + ".state")
        self.restarting = restart
        try:
            lock(self.file, path)
            self.begun, self.done = self._read()
        except BaseException:
            self.file.close()
            raise

    def check_apart(self, source: BinaryIO) -> None:
        """Refuse to write into the input.

        Raises:
            OutputError: if both are one file.
        """
        try:
            same = os.path.samestat(os.fstat(source.fileno()), os.fstat(self.file.fileno()))
        except OSError:  # an input without a descriptor is no file
            return
        if same:
            raise OutputError(f"{self.path} is the input as well; name another output")

    def check(self, described: Mapping[str, object]) -> None:
        """Refuse to go on where some of what decides the results differs from what decided those that are there.

        Raises:
            OutputError: naming every difference.
        """
        if self.begun is None:
            return
        before = {key: value for key, value in self.begun.items() if key not in BESIDE or key in described}
        found = differences(before, described)
        if "model" in before and before["model"] != described.get("model"):
            found.append("so it is another model, or one whose weights or cache are held otherwise")
        if found:
            raise OutputError(
                f"{self.path} was begun otherwise: {'; '.join(found)}; give what was given then, name another output, "
                "or give --restart to begin anew"
            )

    def begin(self, described: Mapping[str, object]) -> None:
        """Say what decides the results to come; errors as `check`."""
        self.check(described)
        self.drop()
        if self.begun is None:
            write_state(self.state, {"format": FORMAT, **described})

    def drop(self) -> None:
        """Drop the results of a run before, if that was asked: late, since a run that cannot begin has none instead."""
        if self.restarting:
            self.file.truncate(0)
            self.restarting = False

    def append(self, data: bytes) -> None:
        """Write a result, which is in the file when this returns."""
        left = memoryview(data)
        with clear_failures(self.path, KEPT):
            while left:
                left = left[os.write(self.file.fileno(), left) :]

    def close(self) -> None:
        """Leave the file on the disk, and to others."""
        if not self.file.closed:
            with self.file, clear_failures(self.path, KEPT):
                os.fsync(self.file.fileno())

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> tuple[dict[str, object] | None, Done]:
        """The state and the lines that are done."""
        empty = not os.fstat(self.file.fileno()).st_size
        if empty and not self.state.exists():
            return None, Done.none()
        begun = self._read_state()
        if empty or self.restarting:
            return None, Done.none()
        done, end = read_done(self.file, self.path)
        self.file.truncate(end)
        self.file.seek(end)
        return (begun if len(done) else None), done

    def _read_state(self) -> dict[str, object]:
        """What a run before has left beside its results."""
        if not self.state.exists():
            raise OutputError(f"{self.path} exists and was not written by this command; {ELSEWHERE}")
        try:
            found = read_object(self.state, MOST_STATE)
        except JsonError as error:
            raise OutputError(f"{self.state}: {error}; {ELSEWHERE}") from None
        if found.get("format") != FORMAT:
            raise OutputError(f"{self.state} is of another format than {FORMAT!r}; {ELSEWHERE}")
        return found


def opened(path: Path) -> BinaryIO:
    """The file for reading and writing; it is made where there is none, and nothing is lost where there is one."""
    with clear_failures(path, "name an output elsewhere"):
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is no regular file; results need one")
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)


@contextmanager
def clear_failures(path: Path, cure: str) -> Iterator[None]:
    """Say which file could not be written, and what to do."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot write it: {error.strerror or error}; {cure}") from error


def lock(file: BinaryIO, path: Path) -> None:
    """Keep other processes out, until the file is closed or the process ends."""
    import fcntl  # which not every system has, and results on standard output do not need

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"{path} is being written by another process; wait for it, or name another output") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot lock it: {error.strerror or error}; name an output elsewhere") from error


def write_state(path: Path, values: Mapping[str, object]) -> None:
    """Put an object into a file: aside, then renamed, so that it is there whole or not at all."""
    aside = path.with_name(path.name + ".new")
    with clear_failures(path, "make room for it, or name an output elsewhere"):
        with aside.open("wb") as file:
            file.write(json.dumps(values, ensure_ascii=False, indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)


def read_done(file: BinaryIO, path: Path) -> tuple[Done, int]:
    """The lines that have results, and where these end; what may stand behind that is a torn one.

    Raises:
        OutputError: for a line that is no result, or a second result of a line.
    """
    numbers, digests, failed, end = array("q"), array("Q"), 0, 0
    with os.fdopen(os.dup(file.fileno()), "rb") as reader:
        for place, data in enumerate(reader, 1):
            known = KNOWN.fullmatch(data)
            if known is None and is_torn(data):
                break
            if known is None:
                raise OutputError(f"{path} is damaged: its line {place} is no result; {ELSEWHERE}, or give --restart")
            numbers.append(int(known[1]))
            digests.append(int(known[2], 16))
            failed += known[3] is not None
            end += len(data)
    found = np.frombuffer(numbers, np.int64)  # [lines]
    order = np.argsort(found, kind="stable")
    twice = np.flatnonzero(np.diff(found[order]) == 0)
    if len(twice):
        line = found[order][twice[0]]
        raise OutputError(f"{path} is damaged: it has two results of line {line}; {ELSEWHERE}, or give --restart")
    return Done(found[order], np.frombuffer(digests, np.uint64)[order], failed), end


def is_torn(data: bytes) -> bool:
    """Whether a line without an end is the beginning of a result, or space that a crash left unwritten."""
    if data.endswith(b"\n"):
        return False
    return data.startswith(BEGIN) or BEGIN.startswith(data) or not data.strip(b"\0")
