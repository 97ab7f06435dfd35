"""What this machine can do at most: reading memory and fused multiply-adds, by two kernels of the language.

python benchmarks/machine.py [--threads N] [--json]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from glassformer.runtime.executor import Eager, Launch
from glassformer.simd import Pointer, f32, f32x16, fma, i64, kernel, load, reduce_add, static_range
from report import show, surroundings

READ_BYTES = 256 << 20  # more than any cache holds
PART = 65_536  # numbers of a task
TURNS = 1_000_000


@dataclass(frozen=True)
class Machine:
    """GB/s of reading with all threads, and GFLOP/s of f32 fused multiply-adds (two operations each)."""

    gigabytes: float
    gigaflops: float


@kernel
def read_parts(x: Pointer[f32], sums: Pointer[f32], begin: i64, end: i64) -> None:
    """sums[task] = sum of x[task * PART : ][: PART], in 8 independent sums of 16 lanes."""
    for task in range(begin, end):
        part = x + task * PART
        total = [f32x16(0.0) for j in static_range(8)]
        for i in range(0, PART, 128):
            for j in static_range(8):
                total[j] = total[j] + load(part + i + 16 * j, f32x16)
        for j in static_range(1, 8):
            total[0] = total[0] + total[j]
        sums[task] = reduce_add(total[0])


@kernel
def multiply_add(out: Pointer[f32], factor: f32, turns: i64, begin: i64, end: i64, *, CHAINS: int) -> None:
    """out[task] = what CHAINS independent chains of 16 lanes come to, to hide the latency of each."""
    for task in range(begin, end):
        total = [f32x16(1.0) for c in static_range(CHAINS)]
        scale = f32x16(factor)
        for _ in range(turns):
            for c in static_range(CHAINS):
                total[c] = fma(total[c], scale, scale)
        for c in static_range(1, CHAINS):
            total[0] = total[0] + total[c]
        out[task] = reduce_add(total[0])


def best_seconds(executor: Eager, launch: Launch, rounds: int) -> float:
    """The shortest of some runs."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        executor.run(launch)
        best = min(best, time.perf_counter() - start)
    return best


def measure_machine(executor: Eager, rounds: int = 5) -> Machine:
    """Both limits on the executor's threads; the results are checked, so that no loop can have been left out."""
    x = np.ones(READ_BYTES // 4, np.float32)
    sums = np.zeros(len(x) // PART, np.float32)
    reading = best_seconds(executor, Launch(read_parts.specialise(), (x, sums), len(sums), len(x)), rounds)
    if not (sums == PART).all():
        raise SystemExit("the reading kernel is wrong")
    chains = 12 if executor.target.vector_bits >= 512 else 6
    out = np.zeros(executor.threads, np.float32)
    launch = Launch(multiply_add.specialise(CHAINS=chains), (out, 0.5, TURNS), len(out), TURNS)
    computing = best_seconds(executor, launch, rounds)
    if not (out == 16 * chains).all():  # 1 * 0.5 + 0.5 = 1
        raise SystemExit("the multiply-add kernel is wrong")
    return Machine(READ_BYTES / reading / 1e9, 2 * 16 * chains * TURNS * len(out) / computing / 1e9)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="by default as many as affinity and quota allow")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    executor = Eager(options.threads)
    found = measure_machine(executor)
    row = {
        "threads": executor.threads,
        "target": executor.target.name,
        "read GB/s": found.gigabytes,
        "FMA GFLOP/s": found.gigaflops,
    }
    show([row], surroundings(["llvmlite", "numpy"]), as_json=options.json)


if __name__ == "__main__":
    main()
