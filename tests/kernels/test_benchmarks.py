"""The benchmarks of single operations run, and check what they time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "kernels"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.name != "measure.py")


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_json_lines(script: Path) -> None:
    command = [sys.executable, str(script), "--json", "--seconds", "0", "--threads", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 2
    for row in rows:
        assert row["operation"] == script.stem
        assert row["NMSE"] <= 1e-7
        assert row["us"] > 0
        assert {
            "GB/s",
            "GFLOP/s",
            "of peak",
            "read GB/s",
            "FMA GFLOP/s",
            "int8 GOP/s",
            "machine",
            "commit",
            "numpy",
            "llvmlite",
        } <= set(row)


def test_there_is_one_for_each_heavy_operation() -> None:
    assert {path.stem for path in SCRIPTS} >= {
        "matmul", "linear", "embedding", "quantize", "layer_norm", "softmax", "attention", "gelu",
    }  # fmt: skip
