"""From an exception to the one line and the exit code that a person or a script gets."""

import click

from glassformer.cli.terminal import printable
from glassformer.errors import GlassformerError
from glassformer.generation.errors import OptionsError

FAILURE, USAGE = 1, 2


def describe(error: Exception) -> tuple[str, int]:
    """The line to print, without the program's name, and the exit code."""
    if isinstance(error, click.UsageError):
        return _usage(error), USAGE
    if isinstance(error, click.ClickException):
        return one_line(error.format_message()), error.exit_code
    if isinstance(error, OptionsError):  # a flag out of range, found where the model is known
        return one_line(f"{error}. See 'glassformer generate --help'."), USAGE
    if isinstance(error, GlassformerError):
        return one_line(str(error)), FAILURE
    if isinstance(error, OSError):
        return one_line(_system(error)), FAILURE
    if isinstance(error, MemoryError):
        return "not enough memory; close other programs, or use a smaller model or a shorter text", FAILURE
    return one_line(f"unexpected {type(error).__name__}: {error} (a defect of Glassformer: please report it "
                    "with the traceback that --debug shows)"), FAILURE  # fmt: skip


def one_line(message: str) -> str:
    """The message on one line, whatever line breaks and control characters it came with."""
    return printable(" ".join(message.split()))


def _usage(error: click.UsageError) -> str:
    where = f"{error.ctx.command_path} --help" if error.ctx else "glassformer --help"
    message = error.format_message().rstrip(".")
    return one_line(f"{message}{'' if message.endswith('?') else '.'} See '{where}'.")


def _system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason
