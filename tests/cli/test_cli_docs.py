"""docs/cli.md says what the commands say."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "make_cli_docs.py"


@pytest.mark.skipif(not TOOL.exists(), reason="the tools are not part of this distribution")
def test_page_is_current() -> None:
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
