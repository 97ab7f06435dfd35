"""Standard output for results, standard error for the rest."""

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

# Control characters that a terminal would act on, shown as their pictures (U+2400 and on) instead. Line feed and tab
# are text; a carriage return is not, since it would let a model's output overwrite the line that the reader has seen.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def prepare_streams() -> None:
    """Make both streams able to print any text: UTF-8 into files and pipes, escapes where a terminal lacks a letter."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            utf8 = not stream.isatty() and "PYTHONIOENCODING" not in os.environ
            stream.reconfigure(encoding="utf-8" if utf8 else stream.encoding, errors="backslashreplace")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is looking at the stream; a closed stream is none."""
    return stream is not None and stream.isatty()


def printable(text: str) -> str:
    """The text with control characters as pictures, so that no model or file can steer a terminal."""
    return text.translate(_PICTURES)


def write(text: str) -> None:
    """Write to standard output at once; to a terminal without control characters. Raises BrokenPipeError."""
    _write(sys.stdout, text)


def write_bytes(data: bytes) -> None:
    """Write bytes that need not be text; a terminal gets the replacement character for what is none."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None or is_terminal(sys.stdout):
        write(data.decode("utf-8", "replace"))
        return
    flush()  # what was written as text comes first
    with _clear_failures("standard output"):
        buffer.write(data)
        buffer.flush()


def write_json(value: Mapping[str, object]) -> None:
    """Write one object on one line of standard output."""
    write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def note(text: str) -> None:
    """Say something on standard error, where results never go; where that is closed or full, nobody is told."""
    with contextlib.suppress(OSError):
        _write(sys.stderr, text + "\n")


def flush() -> None:
    """Push out what is still buffered, so that a full disk is an error and not a message at exit."""
    _write(sys.stdout, "")


def finish_line() -> None:
    """End the line in which a terminal has shown `^C`."""
    if is_terminal(sys.stderr):
        note("")


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # the process was started with the stream closed: nobody listens
        return
    with _clear_failures("standard output" if stream is sys.stdout else "standard error"):
        stream.write(printable(text) if is_terminal(stream) else text)
        stream.flush()


@contextlib.contextmanager
def _clear_failures(name: str) -> Iterator[None]:
    """Name the stream in errors, and a closed pipe alike on every system: Windows calls it an invalid argument."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or name
        if os.name == "nt" and error.errno == errno.EINVAL:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        raise
