"""docs/simd-language.md lists the operations that there are, and its examples are kernels."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_source import import_text

from glassformer.simd import Kernel
from glassformer.simd.table import TABLE
from glassformer.simd.target import TARGETS

ROOT = Path(__file__).parents[2]
TOOL, PAGE = ROOT / "tools" / "make_simd_docs.py", ROOT / "docs" / "simd-language.md"


@pytest.mark.skipif(not TOOL.exists(), reason="the tools are not part of this distribution")
def test_list_is_current() -> None:
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_operation_and_target_is_named() -> None:
    text = PAGE.read_text(encoding="utf8")
    listed = re.findall(r"^\| `(\w+)\(", text[text.index("## Operations") :], re.MULTILINE)
    assert sorted(listed) == sorted(TABLE)
    assert all(f"`{name}`" in text for name in TARGETS)


def test_examples_compile(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf8"), re.DOTALL)
    kernels = 0
    for example in examples:
        made = [k for k in vars(import_text(tmp_path, example)).values() if isinstance(k, Kernel)]
        for kernel in made:
            if kernel.function.__module__.startswith("generated") and not kernel.annotations[2]:
                assert "define" in kernel.ir("avx2")
        kernels += len(made)
    assert kernels == 3
