"""Kernels from text: the language reads source files, so generated kernels are written to one and imported."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

HEADER = "from glassformer.simd import *\nfrom glassformer.simd import Value, vector, kernel, static_range\n\n\n"
_numbers = itertools.count()


def import_text(folder: Path, text: str, *, header: str = HEADER) -> ModuleType:
    """The module that a file with this text makes."""
    path = folder / f"generated_{next(_numbers)}.py"
    path.write_text(header + text, encoding="utf8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
