"""Puts the checkpoints of tests/models within reach."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "models"))
