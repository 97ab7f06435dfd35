"""The root command, its subcommands imported when they are asked for, and the run of one command line."""

import os
from collections.abc import Sequence
from importlib import import_module

import click
from click.shell_completion import shell_complete

from glassformer import __version__
from glassformer.cli import terminal
from glassformer.cli.failures import USAGE, describe
from glassformer.cli.interrupts import watched_interrupts
from glassformer.cli.options import common_options
from glassformer.cli.session import Session

PROGRAM = "glassformer"
COMPLETION_VARIABLE = "_GLASSFORMER_COMPLETE"
# Each name is a module of this folder that holds the click command `command`.
COMMANDS = (
    "generate", "batch", "serve", "trace", "inspect", "tokenize", "score", "evaluate", "bench", "profile", "info",
    "pull", "quantize", "kernels", "completion",
)  # fmt: skip


class LazyGroup(click.Group):
    """A group whose subcommands are imported on use: `generate` does not pay for `pull`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"glassformer.cli.{cmd_name}").command
        return command


def _print_version(as_json: bool) -> None:
    if as_json:
        terminal.write_json({"program": PROGRAM, "version": __version__})
    else:
        terminal.write(f"{PROGRAM} {__version__}\n")


@click.group(
    cls=LazyGroup,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--version", is_flag=True, help="Print the version and exit.")
@click.option("--json", "as_json", is_flag=True, help="With --version: print one JSON object.")
@common_options
@click.pass_context
def root(ctx: click.Context, version: bool, as_json: bool) -> None:
    """Run, understand and change Transformer language models in Python alone.

    Results go to standard output, everything else to standard error. The exit code is 0 when all went well, 1 after
    a failure, 2 for a wrong command line, 130 after Ctrl-C and 141 when the reader of the output has left.
    """
    if version:
        _print_version(as_json)
        ctx.exit()
    if as_json:
        raise click.UsageError("--json goes behind the command, as in 'glassformer info --json', or with --version")
    if ctx.invoked_subcommand is None:
        raise click.UsageError("Missing command.", ctx)


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code.

    Raises BrokenPipeError when the reader of the output has left: no failure, and nothing to say.
    """
    terminal.prepare_streams()
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        return shell_complete(root, {}, PROGRAM, COMPLETION_VARIABLE, instruction)
    session = Session()
    with watched_interrupts() as interrupts:
        try:
            code = _invoke(arguments, session)
            terminal.flush()
        except click.Abort:  # interrupted, and the line already ended
            return 130
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            return _failure(error, session, interrupted=interrupts.seen)
    return code


def _failure(error: BaseException, session: Session, *, interrupted: bool) -> int:
    """Say in one line what went wrong, nothing after an interrupt, and return the exit code."""
    if session.debug:
        import traceback

        traceback.print_exception(error)
    if interrupted or not isinstance(error, Exception):
        terminal.finish_line()
        return 130
    line, code = describe(error)
    terminal.note(f"{PROGRAM}: {line}")
    return code


def _invoke(arguments: Sequence[str], session: Session) -> int:
    """Parse and run; click's own `main` is passed over, since it ends the process in ways of its own."""
    if not arguments:
        terminal.note(root.get_help(click.Context(root, info_name=PROGRAM)))
        return USAGE
    try:
        with root.make_context(PROGRAM, list(arguments), obj=session) as context:
            root.invoke(context)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    return 0
