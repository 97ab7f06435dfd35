"""Arrays as answers: the bytes of little-endian float32, row by row, and what they are in the headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from starlette.responses import Response

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Binary:
    """An array with the name of the site that it comes from, and more that is said in headers."""

    array: npt.NDArray[np.floating]
    site: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The answer: x-shape holds the sizes of the axes."""
        values = np.ascontiguousarray(self.array, "<f4")
        notes = {f"x-{key}": value for key, value in self.notes.items()}
        shape = ",".join(map(str, values.shape))
        headers = {"x-shape": shape, "x-site": self.site, "cache-control": "no-store", **notes}
        return Response(values.tobytes(), media_type="application/octet-stream", headers=headers)


def bounds(length: int, parts: int) -> npt.NDArray[np.int64]:
    """Where each of some parts of a length begins; parts are at most the length."""
    return np.arange(parts, dtype=np.int64) * length // parts


def samples(length: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many of the places of a length, the last of each part of it."""
    return np.append(bounds(length, min(length, most))[1:], length) - 1


def reduced(x: Float32, rows: int, columns: int) -> Float32:
    """The greatest of each patch of the last two axes, so that at most rows x columns are left.

    x: [..., n, m] -> [..., min(n, rows), min(m, columns)].
    """
    n, m = x.shape[-2:]
    if n > rows:
        x = np.maximum.reduceat(x, bounds(n, rows), axis=-2)
    if m > columns:
        x = np.maximum.reduceat(x, bounds(m, columns), axis=-1)
    return x


def farthest(x: Float32, rows: int, columns: int) -> Float32:
    """The value farthest from 0 of each patch, with its sign: [n, m] -> [min(n, rows), min(m, columns)]."""
    high, low = reduced(x, rows, columns), -reduced(-x, rows, columns)
    return np.where(high >= -low, high, low)
