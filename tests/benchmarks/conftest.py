"""Lets the tests import the benchmarks, which import one another by their file names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
