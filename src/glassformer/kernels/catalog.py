"""The kernels of the package by name."""

from __future__ import annotations

import inspect
import pkgutil
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from glassformer import kernels
from glassformer.simd.kernel import Kernel


@dataclass(frozen=True)
class Entry:
    """A kernel and where it is written."""

    kernel: Kernel
    module: str

    @property
    def name(self) -> str:
        """The function's name."""
        return self.kernel.name

    @cached_property
    def place(self) -> str:
        """Source file within the package, and line."""
        path = Path(inspect.getsourcefile(self.kernel.function) or "")
        return f"{path.parent.name}/{path.name}:{inspect.getsourcelines(self.kernel.function)[1]}"

    @property
    def parameters(self) -> dict[str, str]:
        """Names of the parameters with their machine types."""
        return {name: str(kind.name) for name, kind in self.kernel.annotations[0].items()}

    @property
    def constants(self) -> dict[str, Any]:
        """Names of the compile-time constants with their defaults; None for one that has to be given."""
        defaults = self.kernel.annotations[2].items()
        return {name: None if value is inspect.Parameter.empty else value for name, value in defaults}

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.kernel.function) or "").partition("\n")[0]

    def as_json(self) -> dict[str, object]:
        """The object that `kernels --json` prints for it."""
        constants = {name: None if value is None else shown(value) for name, value in self.constants.items()}
        return {
            "name": self.name,
            "place": self.place,
            "summary": self.summary,
            "parameters": self.parameters,
            "constants": constants,
        }


def catalog() -> dict[str, Entry]:
    """Every kernel of `glassformer.kernels` by name, in the order of names; `module.name` where two share one."""
    found = [Entry(kernel, module) for module in _modules() for kernel in _own_kernels(module)]
    names = [entry.name for entry in found]
    keys = {entry.name if names.count(entry.name) == 1 else f"{entry.module}.{entry.name}": entry for entry in found}
    return dict(sorted(keys.items()))


def shown(value: Any) -> str:
    """A compile-time constant as `--set` takes it: types and kernels by their names."""
    if isinstance(value, Kernel):
        return value.name
    return value.__name__ if isinstance(value, type) else repr(value)


def _modules() -> list[str]:
    return [each.name for each in pkgutil.iter_modules(kernels.__path__)]


def _own_kernels(module: str) -> list[Kernel]:
    """The kernels that a module defines; those that it imports belong to others."""
    full = f"{kernels.__name__}.{module}"
    values = vars(import_module(full)).values()
    return [each for each in values if isinstance(each, Kernel) and each.function.__module__ == full]
