"""How far a long piece of work has come: a line on standard error, for a person who has waited for a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from glassformer.cli import terminal
from glassformer.cli.session import Session

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE = 1.0  # seconds


@contextmanager
def shown_progress(label: str, unit: str) -> Iterator[ProgressLine]:
    """A function to tell done and total; a line shows them while the block lasts and is wiped away behind it.

    Nothing shows within the first second, with `--quiet`, or where standard error is no terminal.
    """
    context = click.get_current_context(silent=True)
    session = context.find_object(Session) if context is not None else None
    wanted = terminal.is_terminal(sys.stderr) and not (session is not None and session.quiet)
    line = ProgressLine(label, unit, wanted)
    try:
        yield line
    finally:
        line.close()


class ProgressLine:
    """Called with what is done and what there is in all, None where nobody knows."""

    def __init__(self, label: str, unit: str, wanted: bool) -> None:
        self.label, self.unit, self.wanted = label, unit, wanted
        self.begun = time.monotonic()
        self.bar: Progress | None = None

    def __call__(self, done: int, total: int | None) -> None:
        if not self.wanted or time.monotonic() - self.begun < PATIENCE:
            return
        if self.bar is None:
            self.bar = self._made(total)
            self.bar.start()  # it is known by now, so that an interrupt within this is undone too
        self.bar.update(self.bar.task_ids[0], completed=done)

    def close(self) -> None:
        """Wipe the line away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _made(self, total: int | None) -> Progress:
        # rich takes longer to import than most models to load.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        count = DownloadColumn() if self.unit == "bytes" else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
        # Left to itself, rich sends what is written to standard output meanwhile, results, to standard error.
        bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
        bar.add_task(self.label, total=total)
        return bar
