"""What the benchmarks of single operations share: check against float64, then time, beside what the machine can do."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.append(str(Path(__file__).parent.parent))  # for the two modules of benchmarks/ below

from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
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
    written at least; operations: floating-point, a multiply-add counting two.
    """

    shape: str
    runs: Sequence[Callable[[], Array]]
    exact: Callable[[], Array]
    bytes: int
    operations: int


def normal(*shape: int) -> npt.NDArray[np.float32]:
    """Numbers from N(0, 1), the same for the same shape."""
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def check(name: str, case: Case) -> float:
    """Squared error over squared float64 result; ends the benchmark where it is too large."""
    exact = case.exact()
    error = float(np.sum((case.runs[0]() - exact) ** 2) / np.sum(exact**2))
    if not error <= LARGEST_NMSE:
        sys.exit(f"{name} {case.shape}: NMSE {error:.2g}, at most {LARGEST_NMSE:g}")
    return error


def best_seconds(case: Case, budget: float) -> float:
    """The shortest mean over a round of all runs (of 16 at least), within so many seconds."""
    calls = [case.runs[i % len(case.runs)] for i in range(max(len(case.runs), 16))]
    best, until = float("inf"), time.perf_counter() + budget
    while True:
        start = time.perf_counter()
        for call in calls:
            call()
        now = time.perf_counter()
        best = min(best, (now - start) / len(calls))
        if now > until:
            return best


def row(name: str, case: Case, seconds: float, error: float, machine: Machine) -> dict[str, object]:
    """A line of the table; "of read" (above 1 from a cache) and "of FMA" are shares of what the machine can do."""
    gigabytes, gigaflops = case.bytes / seconds / 1e9, case.operations / seconds / 1e9
    return {
        "operation": name, "shape": case.shape, "us": seconds * 1e6, "GB/s": gigabytes, "GFLOP/s": gigaflops,
        "of read": gigabytes / machine.gigabytes, "of FMA": gigaflops / machine.gigaflops, "NMSE": error,
    }  # fmt: skip


def main(name: str, document: str | None, cases: Callable[[Ops], Sequence[Case]]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="by default as many as affinity and quota allow")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each shape")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    executor = Eager(options.threads)
    machine = measure_machine(executor)
    timed = [(case, check(name, case), best_seconds(case, options.seconds)) for case in cases(Ops(executor))]
    again = measure_machine(executor)  # a machine that others use changes meanwhile: its better moment counts
    machine = Machine(max(machine.gigabytes, again.gigabytes), max(machine.gigaflops, again.gigaflops))
    rows = [row(name, case, seconds, error, machine) for case, error, seconds in timed]
    facts = {
        "threads": str(executor.threads), "target": executor.target.name, "read GB/s": f"{machine.gigabytes:.1f}",
        "FMA GFLOP/s": f"{machine.gigaflops:.0f}", **surroundings(["llvmlite", "numpy"]),
    }  # fmt: skip
    show(rows, facts, as_json=options.json)
