"""What benchmarks share: facts about the machine, and results as a table or as JSON lines."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from glassformer.runtime.machine import processor

Row = Mapping[str, object]


def package_version(name: str) -> str:
    """An installed package's version, or that it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def surroundings(packages: Sequence[str]) -> dict[str, str]:
    """What a figure needs to be compared with another: machine, Python, commit, versions."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    facts = {"machine": processor(), "python": platform.python_version(), "commit": done.stdout.strip()}
    return facts | {name: package_version(name) for name in packages}


def show(rows: Sequence[Row], facts: Mapping[str, str], *, as_json: bool, markdown: bool = False) -> None:
    """Print rows that have the same keys: a table with the facts below, or one JSON object a line."""
    if as_json:
        for row in rows:
            print(json.dumps({**row, **facts}))
        return
    cells = [[cell(v) for v in row.values()] for row in rows]
    heads = list(rows[0]) if rows else []
    if markdown:
        for line in [heads, ["---"] * len(heads), *cells]:
            print("| " + " | ".join(line) + " |")
        print("\n" + ", ".join(f"{name} {value}" for name, value in facts.items()))
        return
    widths = [max(len(c) for c in column) for column in zip(heads, *cells, strict=True)]
    for line in [heads, *cells]:
        print(
            "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        )
    print(", ".join(f"{name} {value}" for name, value in facts.items()))


def cell(value: object) -> str:
    """A value as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
