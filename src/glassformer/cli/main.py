"""The entry point: runs a command line and turns every way to fail into one line and an exit code."""

import os
import sys


def main() -> int:
    """Run `sys.argv` and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 closed pipe."""
    try:
        # Imported here, so that an interrupt while modules load ends as quietly as one later.
        from glassformer.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # The reader has left (`| head -1`): nobody is there to be told. What is still buffered goes nowhere, or
        # the interpreter would complain about it on its way out.
        _discard_output()
        code = 141
    if code == 130:
        # CPython notes an interrupt that leaves `exec`, as of a dataclass being made, and on exit dies of the signal
        # even where it was caught. Running another text takes the note back.
        exec("")
    return code


def _discard_output() -> None:
    """Point standard output at the null device."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
