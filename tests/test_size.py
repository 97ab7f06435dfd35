"""The house stays small: files of at most 400 lines, functions of at most 60 with a median near 10."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FILES = SOURCES + sorted(p for d in ("tests", "tools", "benchmarks", "examples") for p in (ROOT / d).rglob("*.py"))


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and length in lines of every function of a file."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [(n.name, (n.end_lineno or n.lineno) - n.lineno + 1) for n in ast.walk(tree) if isinstance(n, kinds)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_and_its_functions_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf8").splitlines())
    assert lines <= 400, f"{path.name} has {lines} lines; split it along its seams"
    long = [(name, size) for name, size in functions(path) if size > 60]
    assert not long, f"functions over 60 lines: {long}"


def test_median_function_is_near_ten_lines() -> None:
    sizes = [size for path in SOURCES for _, size in functions(path)]
    assert statistics.median(sizes) <= 12
