"""Reference mode: a kernel run as the Python that it is, on values that round, wrap and check bounds as stated."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from glassformer.simd.errors import OperandError
from glassformer.simd.types import PointerValue, Value, numpy_dtype, open_lanes, state

MODE_VARIABLE = "GLASSFORMER_KERNELS"  # "reference" runs every kernel as Python


def wanted() -> bool:
    """Whether the environment asks for reference mode. OperandError for a mode that there is not."""
    mode = os.environ.get(MODE_VARIABLE, "")
    if mode not in ("", "reference"):
        raise OperandError(f"{MODE_VARIABLE} is {mode!r}; expected reference, or nothing for compiled kernels")
    return mode == "reference"


def running() -> bool:
    """Whether this thread is inside a kernel's Python body."""
    return getattr(state, "depth", False)


@contextmanager
def inside(lanes: int) -> Iterator[None]:
    """While a kernel's Python body runs; "N lanes" are so many."""
    before = running(), open_lanes()
    state.depth, state.lanes = True, lanes
    try:
        yield
    finally:
        state.depth, state.lanes = before


def run(function: Any, parameters: Mapping[str, type[Value]], args: Sequence[Any], constants: Mapping[str, Any]) -> Any:
    """Call a kernel's Python body with machine values made of Python numbers and arrays."""
    values = [make_value(kind, arg, name) for (name, kind), arg in zip(parameters.items(), args, strict=True)]
    with inside(1):
        result = function(*values, **constants)
    return int(result) if isinstance(result, Value) and result.kind in "iu" else result


def make_value(kind: type[Value], arg: Any, name: str) -> Any:
    """A parameter's value."""
    if not issubclass(kind, PointerValue):
        return kind(arg.item() if isinstance(arg, np.generic) else arg)
    if arg is None:
        return kind.at(np.zeros(0, np.uint8), 0)
    if not isinstance(arg, np.ndarray):
        raise OperandError(f"{name}: reference mode takes arrays for pointers, so that bounds are known")
    return kind.at(as_bytes(arg, kind.element, name), 0)


def as_bytes(array: np.ndarray[Any, Any], element: type[Value], name: str) -> Any:
    """The memory of an array as writable bytes that share it."""
    if array.dtype != numpy_dtype(element) and element.bits != 8:
        raise OperandError(f"{name}: the array holds {array.dtype}, the kernel takes {element.name}")
    if array.size == 0:
        return np.zeros(0, np.uint8)
    if not array.flags.writeable or array.strides[-1] != array.itemsize:
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    extent = sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)) + array.itemsize
    return np.lib.stride_tricks.as_strided(array.view(np.uint8), (extent,), (1,))
