"""What this machine can do at most, measured by kernels that do nothing else on the same threads."""

from __future__ import annotations

import mmap
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glassformer.errors import GlassformerError
from glassformer.kernels.probe import PART, dot_products, multiply_add, read_memory
from glassformer.runtime.executor import Eager, Launch

READ_BYTES = 256 << 20  # more than any cache holds
TURNS = 400_000
FACTOR = 3  # of the dot products
PAGE_BYTES = mmap.PAGESIZE


class ProbeError(GlassformerError):
    """A probe that computed something wrong, so its speed means nothing."""


@dataclass(frozen=True)
class Machine:
    """Limits of all threads together.

    gigabytes: GB/s of reading memory; gigaflops: GFLOP/s of f32 fused multiply-adds; gigaops: GOP/s of eight-bit dot
    products. A multiply-add counts two.
    """

    gigabytes: float
    gigaflops: float
    gigaops: float = 0.0


class ReadProbe:
    """Reads a buffer that no cache holds, as often as asked: memory's speed changes with what else runs."""

    def __init__(self, executor: Eager, size: int | None = None) -> None:
        self.executor = executor
        self.x = np.ones((READ_BYTES if size is None else size) // 4 // PART * PART, np.float32)
        self.sums = np.zeros(len(self.x) // PART, np.float32)
        self.launch = Launch(read_memory.specialise(), (self.x, self.sums), len(self.sums), len(self.x))

    def gigabytes(self, rounds: int = 1) -> float:
        """GB/s of the best of some rounds."""
        seconds = best_seconds(self.executor, self.launch, rounds)
        if not (self.sums == PART).all():
            raise ProbeError("the reading probe summed wrongly; this machine's memory or compiler is not to be trusted")
        return self.x.nbytes / seconds / 1e9


def best_seconds(executor: Eager, launch: Launch, rounds: int) -> float:
    """The shortest of some runs."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        executor.run(launch)
        best = min(best, time.perf_counter() - start)
    return best


def chains(executor: Eager) -> int:
    """Independent chains that hide an instruction's latency and fit the registers."""
    return 12 if executor.target.vector_bits >= 512 else 6


def multiply_add_rate(executor: Eager, rounds: int) -> float:
    """GFLOP/s of f32 fused multiply-adds."""
    count = chains(executor)
    out = np.zeros(executor.threads, np.float32)
    launch = Launch(multiply_add.specialise(CHAINS=count), (out, 0.5, TURNS), len(out), TURNS * 2)
    seconds = best_seconds(executor, launch, rounds)
    if not (out == 16 * count).all():  # 1 * 0.5 + 0.5 = 1
        raise ProbeError("the multiply-add probe computed wrongly; this machine or its compiler is not to be trusted")
    return 2 * 16 * count * TURNS * len(out) / seconds / 1e9


def dot_rate(executor: Eager, rounds: int) -> float:
    """GOP/s of eight-bit dot products."""
    count = chains(executor)
    x, y = np.ones((count, 64), np.uint8), np.tile(np.array([FACTOR, -FACTOR], np.int8), 32)
    y[::8] += 1  # so the sum is one of a chain's lanes per turn in two
    out = np.zeros(executor.threads, np.int32)
    launch = Launch(dot_products.specialise(CHAINS=count), (x, y, out, TURNS), len(out), TURNS * 2)
    seconds = best_seconds(executor, launch, rounds)
    if not (out == 16 * count * TURNS // 2).all():
        raise ProbeError("the dot product probe computed wrongly; this machine or its compiler is not to be trusted")
    return 2 * 64 * count * TURNS * len(out) / seconds / 1e9


def measure_machine(executor: Eager, rounds: int = 5) -> Machine:
    """All limits on the executor's threads, each the best of some rounds. The results are checked, so that no loop can
    have been left out.

    Raises:
        ProbeError: a probe computed something else.
    """
    reading = ReadProbe(executor).gigabytes(rounds)
    return Machine(reading, multiply_add_rate(executor, rounds), dot_rate(executor, rounds))


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf8").splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def resident_bytes() -> int:
    """Memory of this process that is in the machine's: now on Linux, at its peak on other POSIX systems, else 0."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
