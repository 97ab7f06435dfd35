"""Memory of our own for weights, caches and buffers."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glassformer.simd.kernel import address_of

LARGE = 4 << 20  # bytes from which memory comes from the system directly, in huge pages where it has them
LINE, HUGE_PAGE = 64, 2 << 20
CHUNK = 32 << 20  # bytes of an arena's mappings, of which those that are used become real


def aligned(size: int, dtype: Any = np.int64, alignment: int = LINE, *, huge: bool = True) -> npt.NDArray[Any]:
    """A zeroed array that starts at a multiple of `alignment` bytes. MemoryError or ValueError without room for it.

    huge: ask for huge pages, which are worth it where memory is kept: the system may take long to make room for one.
    """
    itemsize = np.dtype(dtype).itemsize
    raw = zeroed(size * itemsize + alignment) if huge else np.zeros(size * itemsize + alignment, np.uint8)
    start = -address_of(raw) % alignment
    view: npt.NDArray[Any] = raw[start : start + size * itemsize].view(dtype)
    return view


class Room(Protocol):
    """Gives memory for arrays: `aligned`, or that of an arena."""

    def __call__(self, size: int, dtype: Any) -> npt.NDArray[Any]: ...


class Arena:
    """Room for arrays that are kept together, as a model's weights are: one behind the other in large mappings.

    Huge pages begin at multiples of their size, so an array by itself is often too small to have one.
    """

    def __init__(self) -> None:
        self._rests: list[npt.NDArray[np.uint8]] = []

    def aligned(self, size: int, dtype: Any) -> npt.NDArray[Any]:
        """A zeroed array at the first multiple of 64 bytes where there is room; errors as `aligned`."""
        nbytes = size * np.dtype(dtype).itemsize
        if nbytes >= CHUNK // 2:
            return aligned(size, dtype)
        room = -(-nbytes // LINE) * LINE
        place = next((place for place, rest in enumerate(self._rests) if len(rest) >= room), len(self._rests))
        if place == len(self._rests):
            self._rests.append(aligned(CHUNK, np.uint8, HUGE_PAGE))
        rest = self._rests[place]
        self._rests[place] = rest[room:]
        return rest[:nbytes].view(dtype)


class Scratch:
    """Memory that several use, of whom one at a time writes in it, and does not look for it afterwards."""

    def __init__(self) -> None:
        self._memory: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)

    def room(self, size: int) -> npt.NDArray[np.uint8]:
        """At least so many bytes. Who had less before keeps that."""
        if size > len(self._memory):
            self._memory = aligned(max(size, 2 * len(self._memory)), np.uint8)
        return self._memory


def zeroed(size: int) -> npt.NDArray[np.uint8]:
    """Bytes. Large memory is private, for shared one gets no huge pages, and these save most of the page walks."""
    if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(size, np.uint8)
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError(str(error)) from None
    with suppress(OSError):  # a system built without huge pages
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)
