"""Text from the command line and from standard input, with its encoding checked where it comes in."""

import contextlib
import os
import sys
from pathlib import Path

import click

from glassformer.cli import terminal
from glassformer.errors import GlassformerError


class InputTextError(GlassformerError):
    """A file or standard input that is no text to be had."""


def argument_text(value: str, name: str) -> str:
    """The text of an argument.

    Raises:
        click.UsageError: it holds bytes that are not UTF-8 (which Python passes on as lone surrogates).
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        with contextlib.suppress(UnicodeError):  # the locale may know fewer letters than the terminal that sent them
            return os.fsencode(value).decode("utf-8")
        found = f"U+{ord(value[error.start]):04X}"
        if 0xDC80 <= ord(value[error.start]) <= 0xDCFF:
            found = f"byte 0x{ord(value[error.start]) - 0xDC00:02X}"
        message = f"{name} is not valid UTF-8: {found} at character {error.start}; give the text as UTF-8"
        raise click.UsageError(message) from error
    return value


def text_or_stdin(value: str, name: str) -> str:
    """The text of an argument, or all of standard input, byte for byte, where the argument is `-`."""
    return read_stdin() if value == "-" else argument_text(value, name)


def documents_of(value: str, separator: str | None) -> list[str]:
    """The documents of an argument that is a text, a file or `-`, cut at a separator.

    Raises:
        InputTextError: a file that is missing or cannot be read, or that is not UTF-8.
        click.UsageError: an empty separator.
    """
    if separator == "":
        raise click.UsageError("--separator is empty; give the text that stands between documents")
    text = text_of(value)
    documents = [text] if separator is None else text.split(separator)
    return [each for each in documents if each.strip()] or [text]


def text_of(value: str) -> str:
    """The text that an argument gives: itself, a file's content, or standard input where it is `-`."""
    if value == "-":
        return read_stdin()
    path = Path(value)
    try:
        is_file = path.is_file()
    except OSError:  # longer than any name of a file
        is_file = False
    if is_file:
        try:
            return decoded(path.read_bytes(), value)
        except OSError as error:
            raise InputTextError(f"{value}: cannot read it: {error.strerror or error}") from error
    if value.isascii() and not any(map(str.isspace, value)) and any(mark in value for mark in "./\\"):
        raise InputTextError(f"{value}: no such file; give a file, the text itself, or - for standard input")
    return argument_text(value, "TEXT")


def read_stdin() -> str:
    """All of standard input as text. Line ends stay as they are.

    Raises:
        InputTextError: it is closed, or not valid UTF-8.
    """
    if sys.stdin is None:
        raise InputTextError("standard input is closed; give the text as an argument, or pipe it in")
    say_what_ends_input()
    return decoded(sys.stdin.buffer.read(), "standard input")


def say_what_ends_input() -> None:
    """Tell a person who is expected to type that it is so."""
    if terminal.is_terminal(sys.stdin):
        terminal.note("Reading from the terminal; an end-of-file (Ctrl-D, on Windows Ctrl-Z and Enter) ends the input.")


def decoded(data: bytes, name: str) -> str:
    """Bytes as the text that they must be.

    Raises:
        InputTextError: they are not valid UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputTextError(
            f"{name} is not valid UTF-8: byte 0x{data[error.start]:02X} at offset {error.start}; "
            "convert it first, for instance with `iconv -t utf-8`"
        ) from error


def token_ids(text: str, name: str) -> list[int]:
    """Token ids from text: whole numbers apart by spaces or commas, in brackets or not.

    Raises:
        click.UsageError: something else is there.
    """
    words = text.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
    wrong = next((word for word in words if not (word.isascii() and word.isdecimal() and len(word) < 20)), None)
    if wrong is not None:
        raise click.UsageError(f"{name} takes token ids, whole numbers from 0 on; found {wrong[:40]!r}")
    return [int(word) for word in words]
