"""How many processors this process may use: its affinity mask, and the quota of its control group."""

from __future__ import annotations

import ctypes
import math
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from glassformer.errors import GlassformerError

CGROUP = Path("/sys/fs/cgroup")
THREADS_VARIABLE = "GLASSFORMER_THREADS"
PIN_VARIABLE = "GLASSFORMER_PIN"  # "0": leave it to the system which processor a worker runs on
MAX_THREADS = 1024


class ThreadsError(GlassformerError):
    """A number of threads that makes no sense, or more than the system starts."""


def check_threads(wish: Any, source: str) -> int:
    """A number of threads as asked for by `source`, if it is one."""
    if isinstance(wish, int) and not isinstance(wish, bool) and 1 <= wish <= MAX_THREADS:
        return wish
    raise ThreadsError(f"{source} must be a whole number from 1 to {MAX_THREADS}, found {wish!r}")


def affinity() -> list[int]:
    """Numbers of the processors that this process may run on; all of them where the system cannot say."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def read_numbers(path: Path) -> list[int]:
    """The whole numbers in a small file; none where it is missing or says "max"."""
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def own_group(membership: Path, controller: str) -> str:
    """This process's group by /proc/self/cgroup, lines "number:controllers:path".

    Version 2 has no controllers there.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text(encoding="utf8").splitlines()]
    except (OSError, ValueError):
        return "/"
    return next((line[2] for line in lines if len(line) == 3 and controller in line[1].split(",")), "/")


def cgroup_folders(root: Path, group: str) -> list[Path]:
    """Folders of a control group, its own first, then its parents'."""
    folder = root / group.lstrip("/")
    return [folder, *(p for p in folder.parents if root in p.parents or p == root)]


def quota(root: Path = CGROUP, membership: Path = Path("/proc/self/cgroup")) -> float:
    """Processors' worth of time that the control groups grant (version 2 and version 1); infinite without a limit."""
    pairs = [read_numbers(folder / "cpu.max") for folder in cgroup_folders(root, own_group(membership, ""))]
    pairs += [
        read_numbers(folder / "cpu.cfs_quota_us") + read_numbers(folder / "cpu.cfs_period_us")
        for folder in cgroup_folders(root / "cpu", own_group(membership, "cpu"))
    ]
    limits = [pair[0] / pair[1] for pair in pairs if len(pair) == 2 and min(pair) > 0]  # -1 is no limit
    return min(limits, default=math.inf)


def default_threads() -> int:
    """Threads to compute with: GLASSFORMER_THREADS, else what affinity and quota allow, from 1 to MAX_THREADS."""
    wish = os.environ.get(THREADS_VARIABLE, "").strip()
    if wish:
        return check_threads(int(wish) if wish.isdecimal() and len(wish) < 10 else wish, THREADS_VARIABLE)
    granted = quota()
    processors = len(affinity())
    return max(1, min(processors, MAX_THREADS, processors if granted == math.inf else math.ceil(granted)))


def pinning() -> bool:
    """Whether workers are to be kept on one processor each, as two that share one run at half speed."""
    return os.environ.get(PIN_VARIABLE, "1") != "0"


@lru_cache(maxsize=1)
def processor_call() -> Any:
    """The C library's sched_getcpu, which costs a fifth of a microsecond; None where there is none."""
    try:
        return ctypes.CDLL(None).sched_getcpu
    except (OSError, AttributeError, TypeError):  # TypeError: Windows
        return None


def current_processor() -> int:
    """The processor that the calling thread runs on just now; -1 where the system cannot say."""
    call = processor_call()
    return -1 if call is None else int(call())


class Seats:
    """Which processor each thread of a pool is kept on, as two threads on one run at half speed.

    The leader is a thread of the caller's and stays free to move. A worker that it meets on its processor goes to the
    one that was the leader's.
    """

    def __init__(self, threads: int) -> None:
        self.processors = affinity()[:threads]  # of thread 0, the leader, and so on; further ones are not kept
        self.workers: dict[int, int] = {}  # by thread, the system's number of it

    def take(self, thread: int, native_id: int | None) -> None:
        """Keep a worker on its processor, if it has one."""
        if native_id is not None and thread < len(self.processors):
            self.workers[thread] = native_id
            keep_on(native_id, self.processors[thread])

    def make_way(self) -> None:
        """Let no worker be on the processor of the calling thread, which leads now."""
        here = current_processor()
        if here in self.processors[1:]:
            thread = self.processors.index(here, 1)
            self.processors[0], self.processors[thread] = here, self.processors[0]
            if thread in self.workers:
                keep_on(self.workers[thread], self.processors[thread])


def keep_on(native_id: int, processor: int) -> None:
    """Keep a thread on one processor, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # the thread has ended, or the processor was taken from this process
            os.sched_setaffinity(native_id, {processor})
