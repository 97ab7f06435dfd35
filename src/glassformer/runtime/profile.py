"""Where the time of a model went: by operation, by part of the model, by thread, and between passes.

A launch takes from the moment at which the first thread begins it to that at which the last one is done. The time of a
pass is that of its launches and of the gaps between them, in which threads meet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glassformer.kernels.attention import POSITION, ROWS
from glassformer.kernels.launch import BEGAN, ENDED, WORKED
from glassformer.runtime.executor import Cost, Eager
from glassformer.runtime.machine import Machine, measure_machine

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
NEVER = np.iinfo(np.int64).max


class Anchor(NamedTuple):
    """One moment on two clocks: nanoseconds of time.perf_counter_ns, and ticks of the processor's counter."""

    nanoseconds: int
    ticks: int


@dataclass(frozen=True, eq=False)
class Listing:
    """The launches of a plan: kernels, parts of the model, costs, and whether one thread does all of a launch."""

    names: tuple[str, ...]
    scopes: tuple[str, ...]
    costs: tuple[Cost, ...]
    alone: npt.NDArray[np.bool_]

    @cached_property
    def operations(self) -> tuple[str, ...]:
        """What each launch is called: the last word of its scope and its kernel, numbered where these repeat there."""
        seen: Counter[tuple[str, str]] = Counter()
        found = []
        for name, scope in zip(self.names, self.scopes, strict=True):
            seen[scope, name] += 1
            number = seen[scope, name]
            found.append(f"{scope.rpartition('.')[2]} {name}".strip() + (f" {number}" if number > 1 else ""))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class Replay:
    """One pass. Times in ns of time.perf_counter_ns; `left` is when its noting was done, if it was the last of a call.

    times: [threads, launches, TIMES] ticks. tiles: [tiles, TILE], what attention looks at.
    """

    listing: Listing
    began: int
    ended: int
    left: int
    times: Int64
    tiles: Int64

    @property
    def rows(self) -> int:
        """Tokens read."""
        return int(self.tiles[:, ROWS].sum())

    @property
    def row_keys(self) -> int:
        """Positions that attention looks at, of all rows: row r of a tile looks at those before the tile and r + 1."""
        rows, past = self.tiles[:, ROWS], self.tiles[:, POSITION]
        return int((rows * past + rows * (rows + 1) // 2).sum())

    @property
    def tile_keys(self) -> int:
        """The same of the last row of each tile."""
        return int((self.tiles[:, ROWS] + self.tiles[:, POSITION]).sum())


@dataclass(frozen=True)
class Line:
    """Launches that go by one name: how many, seconds of all, bytes and operations that they take at least."""

    name: str
    calls: int
    seconds: float
    bytes: int
    flops: int
    integer: bool  # eight-bit products, whose peak is another

    @property
    def gigabytes(self) -> float:
        """GB/s."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def gigaflops(self) -> float:
        """GFLOP/s, or GOP/s of integers."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0

    def share_of_read(self, machine: Machine) -> float:
        """Of the machine's reading speed; above 1 for what stays in a cache."""
        return self.gigabytes / machine.gigabytes

    def share_of_peak(self, machine: Machine) -> float:
        """Of the machine's arithmetic."""
        return self.gigaflops / (machine.gigaops if self.integer and machine.gigaops else machine.gigaflops)


@dataclass(frozen=True)
class ThreadTime:
    """Seconds of one thread within passes.

    Attributes:
        working: in kernels.
        waiting: for others to finish a launch in which all take part.
        idle: while one thread does a launch alone.
        between: from one launch to the next: announcing, meeting, calling.
    """

    thread: int
    working: float
    waiting: float
    idle: float
    between: float


@dataclass(frozen=True)
class Spans:
    """Seconds of the whole: in launches, between launches of one pass, and between passes.

    Attributes:
        python: choosing tokens, and all that Python does.
    """

    launches: float
    between_launches: float
    python: float

    @property
    def total(self) -> float:
        """All three."""
        return self.launches + self.between_launches + self.python


@dataclass(eq=False, repr=False)
class Profile:
    """What was noted, and what it comes to; `whole` is what this is a part of.

    replays: known when the profile has ended. memory: moments (ns of time.perf_counter_ns) and bytes of the process.
    """

    executor: Eager
    begin: Anchor
    end: Anchor | None = None
    replays: list[Replay] = field(default_factory=list)
    whole: Profile | None = None
    memory: list[tuple[int, int]] = field(default_factory=list)

    def __repr__(self) -> str:
        """In a line: how many passes, how long, and what took most of it."""
        if self.end is None:
            return "<Profile: still watching>"
        lines = self.operations()
        total = sum(line.seconds for line in lines)
        most = ", ".join(f"{line.name} {line.seconds / total:.0%}" for line in lines[:3] if total)
        passes = f"{self.tokens} tokens in {len(self.replays)} passes"
        return f"<Profile: {passes}, {total * 1e3:.3g} ms in launches: {most}>"

    @cached_property
    def machine(self) -> Machine:
        """What the same threads can do at most, measured when first asked for."""
        return self.whole.machine if self.whole else measure_machine(self.executor, 3)

    @property
    def tick(self) -> float:
        """Seconds of a tick."""
        if self.end is None or self.end.ticks <= self.begin.ticks:
            return 0.0
        return (self.end.nanoseconds - self.begin.nanoseconds) / (self.end.ticks - self.begin.ticks) / 1e9

    def nanoseconds(self, ticks: Int64) -> Float64:
        """Moments on Python's clock."""
        since: Float64 = (ticks - self.begin.ticks).astype(np.float64)
        return self.begin.nanoseconds + since * (self.tick * 1e9)

    def part(self, wanted: Callable[[Replay], bool]) -> Profile:
        """The same of some replays alone; what lies between two that were not neighbours is not counted."""
        replays = [replay for replay in self.replays if wanted(replay)]
        return Profile(self.executor, self.begin, self.end, replays, self, self.memory)

    @property
    def prefill(self) -> Profile:
        """Passes over more than one token."""
        return self.part(lambda replay: replay.rows > 1)

    @property
    def decode(self) -> Profile:
        """Passes over one token."""
        return self.part(lambda replay: replay.rows == 1)

    @property
    def tokens(self) -> int:
        """Tokens read."""
        return sum(replay.rows for replay in self.replays)

    def plans(self) -> Iterator[tuple[Listing, list[Replay], Int64, Int64]]:
        """Replays of one plan after the other, with the ticks [replays, launches] at which launches began and ended."""
        groups: dict[int, list[Replay]] = {}
        for replay in self.replays:
            groups.setdefault(id(replay.listing), []).append(replay)
        for replays in groups.values():
            began, ended = launch_spans(np.stack([replay.times for replay in replays]))
            yield replays[0].listing, replays, began, ended

    def operations(self) -> list[Line]:
        """By operation, the same of all layers together; the longest first."""
        return sorted(self.lines(lambda listing: listing.operations), key=lambda line: -line.seconds)

    def layers(self) -> list[Line]:
        """By part of the model, in the order in which they run."""
        return self.lines(lambda listing: listing.scopes)

    def lines(self, names: Callable[[Listing], Sequence[str]]) -> list[Line]:
        """Launches summed by name."""
        sums: dict[str, Line] = {}
        for listing, replays, began, ended in self.plans():
            seconds = (ended - began).sum(axis=0) * self.tick  # [launches]
            row_keys, tile_keys = sum(r.row_keys for r in replays), sum(r.tile_keys for r in replays)
            for i, name in enumerate(names(listing)):
                cost = listing.costs[i]
                size = cost.bytes * len(replays) + cost.bytes_per_key * tile_keys
                flops = cost.flops * len(replays) + cost.flops_per_key * row_keys
                line = Line(name, len(replays), float(seconds[i]), size, flops, "quantized" in listing.names[i])
                sums[name] = joined(sums[name], line) if name in sums else line
        return list(sums.values())

    def threads(self) -> list[ThreadTime]:
        """By thread; thread 0 is the caller's."""
        sums = np.zeros((self.executor.threads, 4))
        for listing, replays, began, ended in self.plans():
            worked = np.stack([replay.times[:, :, WORKED] for replay in replays])  # [replays, threads, launches]
            rest = (ended - began)[:, None] - worked
            calls = sum(replay.ended - replay.began for replay in replays) / 1e9
            times = np.stack([worked.sum(axis=(0, 2)), rest[:, :, ~listing.alone].sum(axis=(0, 2)),
                              rest[:, :, listing.alone].sum(axis=(0, 2))], axis=1) * self.tick  # fmt: skip
            sums[:, :3] += times
            sums[:, 3] += calls - times.sum(axis=1)
        return [ThreadTime(thread, *map(float, row)) for thread, row in enumerate(sums)]

    def spans(self) -> Spans:
        """The whole."""
        launches = sum(float((ended - began).sum()) for _, _, began, ended in self.plans()) * self.tick
        calls = sum(replay.ended - replay.began for replay in self.replays) / 1e9
        python = sum(b.began - a.left for a, b in pairwise(self.replays)) / 1e9
        return Spans(launches, calls - launches, python)

    def as_json(self) -> dict[str, object]:
        """Everything; times in seconds."""
        spans, machine = self.spans(), self.machine
        return {
            "threads": self.executor.threads,
            "target": self.executor.target.name,
            "machine": {"read_gb_s": machine.gigabytes, "fma_gflop_s": machine.gigaflops, "dot_gop_s": machine.gigaops},
            "passes": len(self.replays),
            "tokens": self.tokens,
            "seconds": {"launches": spans.launches, "between_launches": spans.between_launches, "python": spans.python},
            "operations": [line_json(line, machine) for line in self.operations()],
            "layers": [line_json(line, machine) for line in self.layers()],
            "thread_times": [vars(thread) for thread in self.threads()],
            "memory": [[(moment - self.begin.nanoseconds) / 1e9, size] for moment, size in self.memory],
        }


def launch_spans(times: Int64) -> tuple[Int64, Int64]:
    """times: [replays, threads, launches, TIMES] -> ticks at which each launch began and ended, [replays, launches]."""
    took_part = times[..., WORKED] > 0
    began = np.where(took_part, times[..., BEGAN], NEVER).min(axis=1)
    ended = times[..., ENDED].max(axis=1)
    return np.minimum(began, ended), ended


def joined(a: Line, b: Line) -> Line:
    """The sum of two."""
    return Line(a.name, a.calls + b.calls, a.seconds + b.seconds, a.bytes + b.bytes, a.flops + b.flops,
                a.integer or b.integer)  # fmt: skip


def line_json(line: Line, machine: Machine) -> dict[str, object]:
    """A line with its rates."""
    return {
        "name": line.name, "calls": line.calls, "seconds": line.seconds, "bytes": line.bytes, "flops": line.flops,
        "gb_s": line.gigabytes, "share_of_read": line.share_of_read(machine),
        "gflop_s": line.gigaflops, "share_of_peak": line.share_of_peak(machine),
    }  # fmt: skip
