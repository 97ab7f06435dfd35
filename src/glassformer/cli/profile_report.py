"""The tables of `profile`."""

from __future__ import annotations

import io
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from glassformer.cli import terminal

if TYPE_CHECKING:
    from glassformer.runtime.machine import Machine
    from glassformer.runtime.profile import Line, Profile

WIDTH = 120  # of the tables where no terminal says how wide it is


def report(profile: Profile) -> None:
    """Print both parts, and what the machine can do."""
    if terminal.is_terminal(sys.stdout):
        show(profile, Console())
        return
    text = io.StringIO()  # by itself, rich would end the process where the reader of the output has left
    show(profile, Console(file=text, width=WIDTH))
    terminal.write(text.getvalue())


def show(profile: Profile, console: Console) -> None:
    """The tables on a console."""
    machine = profile.machine
    for title, part in (("prompt", profile.prefill), ("decode", profile.decode)):
        if part.replays:
            console.print(operations_table(title, part, machine))
            console.print(layers_table(title, part, machine))
            console.print(threads_table(title, part))
    resident = max((size for _, size in profile.memory), default=0)
    console.print(f"This machine reads {machine.gigabytes:.1f} GB/s, and computes {machine.gigaflops:.0f} GFLOP/s in "
                  f"f32 and {machine.gigaops:.0f} GOP/s in eight-bit dot products, with "
                  f"{profile.executor.threads} threads "
                  f"({profile.executor.target.name}). Resident memory: {resident / 1e6:.0f} MB.",
                  soft_wrap=True, highlight=False)  # fmt: skip


def table_of(title: str, *heads: str) -> Table:
    """A table whose first column holds names and the others numbers, narrow enough for 80 columns."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    return table


def operations_table(title: str, part: Profile, machine: Machine) -> Table:
    """Operations, the longest first; then what lies between them."""
    spans, passes = part.spans(), len(part.replays)
    speed = part.tokens / spans.total if spans.total else 0.0
    table = table_of(f"{title}: {part.tokens} tokens in {passes} passes, {1e3 * spans.total / passes:.3f} ms each, "
                     f"{speed:.0f} tokens/s", "operation", "launches", "us/pass", "%", "GB/s", "of read", "GFLOP/s",
                     "of peak")  # fmt: skip
    for line in part.operations():
        table.add_row(*cells(line, passes, spans.total, machine))
    for name, seconds in (("between launches", spans.between_launches), ("choosing and Python", spans.python)):
        table.add_row(name, "", f"{1e6 * seconds / passes:.1f}", percent(seconds, spans.total))
    return table


def cells(line: Line, passes: int, total: float, machine: Machine) -> list[str]:
    """A row of figures."""
    reads = [f"{line.gigabytes:.1f}", f"{100 * line.share_of_read(machine):.0f} %"] if line.bytes else ["", ""]
    computes = [f"{line.gigaflops:.1f}", f"{100 * line.share_of_peak(machine):.0f} %"] if line.flops else ["", ""]
    time = f"{1e6 * line.seconds / passes:.1f}"
    return [line.name, f"{line.calls / passes:.0f}", time, percent(line.seconds, total), *reads, *computes]


def layers_table(title: str, part: Profile, machine: Machine) -> Table:
    """Parts of the model in order, a layer to a row."""
    passes, total = len(part.replays), part.spans().total
    rows: dict[str, dict[str, Line]] = defaultdict(dict)
    for line in part.layers():
        layer, _, block = line.name.rpartition(".")
        rows[layer or line.name][block] = line
    blocks = list(dict.fromkeys(block for row in rows.values() for block in row if len(row) > 1)) or [""]
    table = table_of(f"{title}, by layer: us/pass", "part", *(block for block in blocks), "all", "%", "GB/s")
    for name, row in rows.items():
        seconds, size = sum(line.seconds for line in row.values()), sum(line.bytes for line in row.values())
        each = [f"{1e6 * row[block].seconds / passes:.1f}" if block in row else "" for block in blocks]
        speed = f"{size / seconds / 1e9:.1f}" if seconds else ""
        table.add_row(name, *each, f"{1e6 * seconds / passes:.1f}", percent(seconds, total), speed)
    return table


def threads_table(title: str, part: Profile) -> Table:
    """What each thread did within the passes, in microseconds a pass."""
    passes = len(part.replays)
    table = table_of(f"{title}, by thread: us/pass", "thread", "working", "%", "waiting for others",
                     "idle, one works alone", "between launches")  # fmt: skip
    for thread in part.threads():
        total = thread.working + thread.waiting + thread.idle + thread.between
        spent = (thread.working, thread.waiting, thread.idle, thread.between)
        working, *times = [f"{1e6 * seconds / passes:.1f}" for seconds in spent]
        table.add_row(str(thread.thread), working, percent(thread.working, total), *times)
    return table


def percent(part: float, total: float) -> str:
    """A share with one decimal."""
    return f"{100 * part / total:.1f}" if total else ""
