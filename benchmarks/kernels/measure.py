"""What the benchmarks of single operations share: check against float64, then time, beside what the machine can do."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.append(str(Path(__file__).parent.parent))  # for the two modules of benchmarks/ below

from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager, Launch
from glassformer.runtime.machine import ReadProbe, best_seconds, chains
from glassformer.runtime.plan import Plan, Recorder
from glassformer.simd import (
    Pointer,
    bf16,
    bitcast,
    dot_bf16,
    f32,
    f32x16,
    i64,
    kernel,
    load,
    reduce_add,
    static_range,
    vector,
)
from machine import Machine, measure_machine
from report import show, surroundings

Array = npt.NDArray[Any]
LARGEST_NMSE = 1e-7
COLD_BYTES = (
    256 << 20
)  # operands that decoding reads once a token are taken in turns from so much memory, past any cache


@dataclass(frozen=True)
class Case:
    """An operation at one shape.

    runs: calls that are taken in turns, all of the same cost; exact: the float64 result of the first; bytes: read and
    written at least; operations: a multiply-add counts two; peak: of which instruction the speed is told a share:
    "FMA", "int8" or "bf16"; read: what a run returns as an array.
    """

    shape: str
    runs: Sequence[Callable[[], Any]]
    exact: Callable[[], Array]
    bytes: int
    operations: int
    peak: str = "FMA"
    read: Callable[[Any], Array] = np.asarray


class Stage:
    """An executor that runs what it is given at once, or writes it down to be timed without Python between launches."""

    def __init__(self, executor: Eager) -> None:
        self.eager = executor
        self.target, self.threads = executor.target, executor.threads
        self.recorder: Recorder | None = None

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
        """A buffer for a result."""
        return (self.recorder or self.eager).empty(shape, dtype)

    def run(self, launch: Launch) -> None:
        """Run or write down."""
        (self.recorder or self.eager).run(launch)

    def mark(self, scope: str) -> None:
        """Launches need no names here."""

    def record(self, calls: Sequence[Callable[[], Any]]) -> Plan:
        """The launches of some calls."""
        self.recorder = Recorder(self.eager)
        for call in calls:
            call()
        plan = self.recorder.plan()
        self.recorder = None
        return plan


@kernel
def pair_products(
    x: Pointer[bf16], y: Pointer[f32], out: Pointer[f32], turns: i64, begin: i64, end: i64, *, CHAINS: int
) -> None:
    """out[task] = the sum of CHAINS chains of products of bf16 pairs, as `multiply_add` of the machine's probes.

    x: [CHAINS, 32], y: 16 pairs, each of which meets all of x in its turn.
    """
    for task in range(begin, end):
        total = [f32x16(0.0) for c in static_range(CHAINS)]
        for turn in range(turns):
            factor = bitcast(f32x16(y[turn & 15]), vector(bf16, 32))
            for c in static_range(CHAINS):
                total[c] = dot_bf16(total[c], load(x + 32 * c, vector(bf16, 32)), factor)
        for c in static_range(1, CHAINS):
            total[0] = total[0] + total[c]
        out[task] = reduce_add(total[0])


def pair_rate(executor: Eager, rounds: int = 5, turns: int = 400_000) -> float:
    """GFLOP/s of products of bf16 pairs."""
    count = chains(executor)
    x, y = np.full((count, 32), 0x3F80, np.uint16), np.tile(np.array([0x3F80, 0xBF80], np.uint16), 16).view(np.float32)
    y[::2] = np.array([0x3F80, 0x3F80], np.uint16).view(np.float32)[0]  # 2 a lane in every other turn, 0 in the rest
    out = np.zeros(executor.threads, np.float32)
    launch = Launch(pair_products.specialise(CHAINS=count), (x, y, out, turns), len(out), turns * 2)
    seconds = best_seconds(executor, launch, rounds)
    if not (out == 16 * count * turns).all():
        sys.exit("the probe of bf16 pairs computed wrongly")
    return 2 * 32 * count * turns * len(out) / seconds / 1e9


def normal(*shape: int) -> npt.NDArray[np.float32]:
    """Numbers from N(0, 1), the same for the same shape."""
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def check(name: str, case: Case) -> float:
    """Squared error over squared float64 result; ends the benchmark where it is too large."""
    exact = case.exact()
    error = float(np.sum((case.read(case.runs[0]()) - exact) ** 2) / np.sum(exact**2))
    if not error <= LARGEST_NMSE:
        sys.exit(f"{name} {case.shape}: NMSE {error:.2g}, at most {LARGEST_NMSE:g}")
    return error


def timed(stage: Stage, case: Case, memory: ReadProbe, budget: float) -> tuple[float, float]:
    """The shortest mean over a round of all runs (of 16 at least) within so many seconds, and the best reading speed.

    A round is replayed as a plan, in one native call; memory is read between rounds, as its speed changes.
    """
    calls = [case.runs[i % len(case.runs)] for i in range(max(len(case.runs), 16))]
    plan = stage.record(calls)
    best, reading, until = float("inf"), 0.0, time.perf_counter() + budget
    while True:
        reading = max(reading, memory.gigabytes())
        start = time.perf_counter()
        plan.replay()
        now = time.perf_counter()
        best = min(best, (now - start) / len(calls))
        if now > until:
            return best, reading


def row(name: str, case: Case, seconds: float, reading: float, error: float, peaks: dict[str, float]) -> dict[str, Any]:
    """A line of the table; "of read" (above 1 from a cache) and "of peak" are shares of what the machine can do."""
    gigabytes, gigaflops = case.bytes / seconds / 1e9, case.operations / seconds / 1e9
    return {
        "operation": name, "shape": case.shape, "us": seconds * 1e6, "GB/s": gigabytes, "GFLOP/s": gigaflops,
        "of read": gigabytes / reading, "peak": case.peak, "of peak": gigaflops / peaks[case.peak], "NMSE": error,
    }  # fmt: skip


def measured_peaks(executor: Eager) -> tuple[Machine, dict[str, float]]:
    """What the machine can do, and the speeds of instructions by the names of `Case.peak`."""
    machine = measure_machine(executor)
    return machine, {"FMA": machine.gigaflops, "int8": machine.gigaops, "bf16": pair_rate(executor)}


def main(name: str, document: str | None, cases: Callable[[Ops], Iterable[Case]]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="by default as many as affinity and quota allow")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each shape")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    executor = Eager(options.threads)
    stage, memory = Stage(executor), ReadProbe(executor, COLD_BYTES // 4)
    machine, peaks = measured_peaks(executor)
    rows = []
    for case in cases(Ops(stage)):
        error = check(name, case)
        rows.append(row(name, case, *timed(stage, case, memory, options.seconds), error, peaks))
    facts = {
        "threads": str(executor.threads), "target": executor.target.name, "read GB/s": f"{machine.gigabytes:.1f}",
        "FMA GFLOP/s": f"{peaks['FMA']:.0f}", "int8 GOP/s": f"{peaks['int8']:.0f}",
        "bf16 GFLOP/s": f"{peaks['bf16']:.0f}", **surroundings(["llvmlite", "numpy"]),
    }  # fmt: skip
    show(rows, facts, as_json=options.json)
