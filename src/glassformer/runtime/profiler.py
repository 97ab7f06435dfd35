"""Watches an executor for a while: when which thread worked on which launch. `glassformer.runtime.profile` reads it."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.kernels import launch as protocol
from glassformer.kernels.attention import POSITION, TILE
from glassformer.kernels.probe import ticks
from glassformer.runtime.cpus import pinning
from glassformer.runtime.executor import Eager, Launch
from glassformer.runtime.machine import resident_bytes
from glassformer.runtime.plan import Plan
from glassformer.runtime.profile import Anchor, Listing, Profile, Replay, launch_spans
from glassformer.runtime.threads import WorkerPool
from glassformer.simd.target import Target

Int64 = npt.NDArray[np.int64]
STARTING = 0.1  # seconds that threads may take to start; a busy machine may need longer, at the cost of precision
MEMORY_EVERY = 20_000_000  # ns between two looks at the process's memory
NO_TILES: Int64 = np.zeros((0, TILE), np.int64)
TRIES = 20  # readings of both clocks, of which the tightest counts


class ProfileError(GlassformerError):
    """Something that cannot be measured here."""


class TimedPool(WorkerPool):
    """Workers that write down when they work. They stand in for the executor's own, which are parked meanwhile."""

    def __init__(self, threads: int, target: Target, *, pin: bool) -> None:
        super().__init__(threads, target, pin=pin, timed=True)
        behind = self.control[protocol.control_size(threads) :]
        self.times = behind.reshape(threads, protocol.TIMED, protocol.TIMES)
        self.noting = threading.Lock()
        self.wait_for_workers()

    def wait_for_workers(self) -> None:
        """Let the threads start, which is not to be measured."""
        for wake in self.wake[1:]:
            wake.release()
        until = time.monotonic() + STARTING
        while self.control[protocol.PARKED + 8 :: 8][: self.threads - 1].any() and time.monotonic() < until:
            time.sleep(1e-4)

    def replay(self, records: Int64) -> None:
        """Run launches of which nobody wants the times."""
        with self.noting:
            for first in range(0, len(records), protocol.TIMED):
                super().replay(records[first : first + protocol.TIMED])

    def timed(self, records: Int64) -> tuple[int, int, Int64]:
        """Run launches: when the native call began and ended (ns), and ticks [threads, launches, TIMES]."""
        parts: list[Int64] = []
        with self.noting:
            began = ended = 0
            for first in range(0, len(records), protocol.TIMED):
                part = records[first : first + protocol.TIMED]
                self.times[:, : len(part)] = 0
                start = time.perf_counter_ns()
                super().replay(part)
                ended = time.perf_counter_ns()
                began = began or start
                parts.append(self.times[:, : len(part)].copy())
        return began, ended, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


class Profiler:
    """What an executor hands its plans and launches to while it is watched."""

    def __init__(self, executor: Eager, profile: Profile) -> None:
        self.executor, self.profile = executor, profile
        self.pool = TimedPool(executor.threads, executor.target, pin=pinning())
        self.looked = 0  # at memory, in ns
        self.calls: list[Call] = []
        self.listings: dict[int, tuple[Plan, Listing]] = {}  # the plan is kept, so that no other takes its id

    def replay(self, plan: Plan, times: int, behind: Plan | None) -> None:
        """Run a plan and another one behind it so many times, and note the first one's times."""
        if id(plan) not in self.listings:
            names = tuple(kernel.owner.name for kernel in plan.kernels)
            self.listings[id(plan)] = plan, Listing(names, plan.scopes, plan.costs, plan.records[:, 3] == 0)
        listing, tiles = self.listings[id(plan)][1], NO_TILES if plan.tiles is None else plan.tiles.copy()
        room = max(1, protocol.TIMED // len(plan.listed(1, behind)))  # passes in one native call
        for first in range(0, times, room):
            count = min(room, times - first)
            self.note(plan.listed(count, behind), count, listing, tiles)
            tiles[:, POSITION] += count

    def run(self, launch: Launch, share: int) -> None:
        """Run a launch by itself and note its times."""
        loaded = launch.kernel.load(self.executor.target)
        block = loaded.pack(launch.arguments)
        memory = ctypes.create_string_buffer(block, len(block))
        record = np.array([[loaded.address, ctypes.addressof(memory), launch.tasks, share, 0, 0]], np.int64)
        listing = Listing((launch.kernel.owner.name,), ("",), (launch.least,), record[:, 3] == 0)
        self.note(record, 1, listing, NO_TILES)

    def note(self, records: Int64, count: int, listing: Listing, tiles: Int64) -> None:
        """Run records of so many passes; what is done beside is as little as can be, since the model waits for it."""
        began, ended, times = self.pool.timed(records)
        if ended - self.looked > MEMORY_EVERY:  # files are slow: other threads take over while one is read
            self.profile.memory.append((ended, resident_bytes()))
            self.looked = ended
        left = time.perf_counter_ns()
        self.calls.append(Call(listing, count, began, ended, left, times, tiles.copy()))


@dataclass(frozen=True, eq=False)
class Call:
    """A native call of `count` passes, as it is noted.

    times: [threads, launches of all passes, TIMES] ticks. tiles: of the first pass.
    """

    listing: Listing
    count: int
    began: int
    ended: int
    left: int
    times: Int64
    tiles: Int64

    def replays(self) -> Iterator[Replay]:
        """Pass by pass; each reads the token behind that of the one before."""
        passes = self.times.reshape(len(self.times), self.count, -1, protocol.TIMES)
        measured = len(self.listing.names)
        for place, (begin, end) in enumerate(self.moments(passes, measured)):
            tiles = self.tiles.copy()
            tiles[:, POSITION] += place
            left = self.left if place == self.count - 1 else end
            yield Replay(self.listing, begin, end, left, passes[:, place, :measured], tiles)

    def moments(self, passes: Int64, measured: int) -> list[tuple[int, int]]:
        """When each pass began and ended, in ns; behind its first launches is what is not measured.

        passes: [threads, passes, launches, TIMES]. The call's begin and end are known on both clocks.
        """
        first, last = launch_spans(passes.swapaxes(0, 1))  # [passes, launches] both, ticks
        start, stop = first[0, 0], last[-1, -1]
        ticks = np.stack([first[:, 0], last[:, measured - 1]], axis=1)  # [passes, 2]
        found = self.began + (ticks - start) * ((self.ended - self.began) / max(1, int(stop - start)))
        return [(round(begin), round(end)) for begin, end in found.tolist()]


def anchor() -> Anchor:
    """One moment on both clocks, taken between two readings of Python's that are as close as possible."""
    best = (1 << 62, 0, 0)
    for _ in range(TRIES):
        before = time.perf_counter_ns()
        count = int(ticks())
        after = time.perf_counter_ns()
        best = min(best, (after - before, (before + after) // 2, count))
    return Anchor(best[1], best[2])


@contextmanager
def profile(executor: Eager) -> Iterator[Profile]:
    """Watch what an executor runs until the block ends.

    Raises:
        ProfileError: in reference mode, without a counter in the processor, or within another profile.
    """
    if executor.as_python:
        raise ProfileError("kernels run as Python here, which no profile measures; unset GLASSFORMER_KERNELS")
    if executor.watch is not None:
        raise ProfileError("this model is being profiled already; end that profile first")
    begin = anchor()
    if begin.ticks == 0:
        raise ProfileError(f"the target {executor.target.name} has no counter of time that kernels can read")
    found = Profile(executor, begin)
    profiler = Profiler(executor, found)
    executor.watch = profiler
    try:
        yield found
    finally:
        executor.watch = None
        profiler.pool.close()
        found.end = anchor()
        found.replays += [replay for call in profiler.calls for replay in call.replays()]
