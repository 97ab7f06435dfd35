"""What this machine can do at most: reading memory, fused multiply-adds and eight-bit dot products.

python benchmarks/machine.py [--threads N] [--json]
"""

from __future__ import annotations

import argparse

from glassformer.runtime.executor import Eager
from glassformer.runtime.machine import Machine as Machine
from glassformer.runtime.machine import measure_machine as measure_machine
from report import show, surroundings


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
        "int8 dot GOP/s": found.gigaops,
    }
    show([row], surroundings(["llvmlite", "numpy"]), as_json=options.json)


if __name__ == "__main__":
    main()
