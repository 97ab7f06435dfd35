"""What callers give the tensor engine, as arrays that kernels can read: types, shapes, broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.errors import GlassformerError

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]


class ShapeError(GlassformerError):
    """Arrays whose shapes do not go together; the message states them."""


def as_float32(x: npt.ArrayLike, name: str = "x") -> Float32:
    """An array as contiguous float32; anything but real numbers is refused.

    What float32 cannot hold becomes infinite.
    """
    array = as_array(x, name)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{name} holds {array.dtype}; expected real numbers")
    if array.dtype == np.float32:
        return np.asarray(array, np.float32, order="C")
    with np.errstate(over="ignore"):
        return np.asarray(array, np.float32, order="C")


def as_array(x: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """What NumPy can make an array of."""
    try:
        return np.asarray(x)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name} is no array: {error}") from None


def as_ids(ids: npt.ArrayLike, rows: int) -> Int32:
    """Indices into a table of so many rows."""
    array = as_array(ids, "ids")
    if array.size == 0:
        return np.zeros(array.shape, np.int32)
    if array.dtype.kind not in "iu":
        raise ShapeError(f"embedding: ids hold {array.dtype}; expected whole numbers")
    low, high = int(array.min()), int(array.max())
    if not 0 <= low <= high < rows:
        raise ShapeError(f"embedding: ids from {low} to {high}, the table has {rows} rows")
    return np.asarray(array, np.int32, order="C")


def broadcast_shape(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """The shape that two shapes broadcast to."""
    try:
        return np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        raise ShapeError(f"shapes {tuple(a)} and {tuple(b)} do not broadcast") from None


def item_offsets(x: Float32, batch: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Where each matrix of a broadcast batch begins, in elements."""
    step = x.shape[-2] * x.shape[-1]
    count = int(np.prod(x.shape[:-2], dtype=np.int64))
    own = (np.arange(count, dtype=np.int64) * step).reshape(x.shape[:-2])
    return np.ascontiguousarray(np.broadcast_to(own, batch)).reshape(-1)


def rows_of(x: Float32, y: Float32, shape: tuple[int, ...]) -> tuple[int, tuple[int, int], list[npt.NDArray[np.int64]]]:
    """A broadcast pair as rows of the last axis: its width, each operand's step along it (0 or 1), where rows begin."""
    width = shape[-1]
    offsets, steps = [], []
    for array in (x, y):
        full = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        steps.append(1 if full.shape[-1] == width and width > 1 else 0)
        starts = (np.arange(full[..., 0].size, dtype=np.int64) * full.shape[-1]).reshape(full.shape[:-1])
        offsets.append(np.ascontiguousarray(np.broadcast_to(starts, shape[:-1])).reshape(-1))
    return width, (steps[0], steps[1]), offsets
