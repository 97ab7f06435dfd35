"""The tensor engine's operations as functions, over all threads of this machine: `from glassformer import ops`.

    ops.matmul(a, b)   ops.softmax(x)   ops.layer_norm(x, weight, bias)   ops.gelu(x) ...

They are the methods of `glassformer.runtime.engine.Ops`; make one around an executor of your own to choose threads or
processor level.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import default_executor


@cache
def default_ops() -> Ops:
    """The operations over the default executor."""
    return Ops(default_executor())


def __getattr__(name: str) -> Any:
    """An operation by name."""
    if name.startswith("_") or not hasattr(Ops, name):
        raise AttributeError(f"glassformer.ops has no operation {name!r}")
    return getattr(default_ops(), name)


def __dir__() -> list[str]:
    return sorted(name for name in dir(Ops) if not name.startswith("_"))
