"""How long it takes to begin: importing, compiling all kernels that generation needs, loading them from the cache,
first word.

    python benchmarks/start.py [--rounds 5] [--json]

Each figure is the best of some fresh processes. "cold" has an empty kernel cache, "warm" the one that the cold run
filled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import show, surroundings

IMPORT = """
import json, sys, time
start = time.perf_counter()
import glassformer
print(json.dumps({"import glassformer": time.perf_counter() - start}))
"""
# Kernels are timed where they are loaded, whether that means reading the cache or compiling.
GENERATE = """
import json, time
from glassformer.simd.kernel import Variant
spent, plain = [], Variant.load
def timed(self, target=None):
    start = time.perf_counter()
    try:
        return plain(self, target)
    finally:
        spent.append(time.perf_counter() - start)
Variant.load = timed
import glassformer
glassformer.load().generate("Once upon a time", max_new_tokens=3, seed=1)
print(json.dumps({"kernels": sum(t for t in spent if t > 2e-4)}))
"""


def run_python(code: str, cache: Path) -> dict[str, float]:
    """What a fresh interpreter prints."""
    environment = {**os.environ, "GLASSFORMER_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def first_word(cache: Path) -> dict[str, float]:
    """Seconds from starting the command to its first bytes on stdout, and to its end."""
    environment = {**os.environ, "GLASSFORMER_CACHE": str(cache)}
    command = [sys.executable, "-m", "glassformer", "generate", "Once upon a time", "--seed", "1", "--quiet"]
    start = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 1)
        first = time.perf_counter() - start
        process.stdout.read()
    return {"first word": first, "whole story": time.perf_counter() - start}


def measure(cache: Path) -> dict[str, float]:
    return run_python(IMPORT, cache) | run_python(GENERATE, cache) | first_word(cache)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    cold, warm = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
            figures = run_python(IMPORT, Path(name)) | run_python(GENERATE, Path(name))
            cold.append(figures | first_word(Path(other)))
            warm.append(measure(Path(name)))
    rows: list[dict[str, object]] = []
    for state, runs in (("cold", cold), ("warm", warm)):
        rows.append({"cache": state, **{f"{key} (s)": min(run[key] for run in runs) for key in runs[0]}})
    show(rows, surroundings(("numpy", "llvmlite")), as_json=options.json)


if __name__ == "__main__":
    main()
