"""Frames: memory that holds what was captured of a pass, the arrays of all sites one after the other."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glassformer.kernels.capture import FRAME, FRAME_KEYS, PLACES
from glassformer.runtime.arrays import Float32, ShapeError
from glassformer.runtime.memory import aligned
from glassformer.simd.kernel import address_of

Int64 = npt.NDArray[np.int64]
LEASE = 16  # frames that are leased together
LINE = 16  # numbers of a cache line, at which arrays begin


def empty_table(sites: int) -> Int64:
    """Room for a table of so many sites, see `glassformer.kernels.capture`."""
    return np.zeros(PLACES + sites, np.int64)


@dataclass(frozen=True)
class Place:
    """The array of a site: [rows, *shape], or [heads, rows, keys] where `square` says so; shape is then (heads,)."""

    shape: tuple[int, ...]
    square: bool = False


@dataclass(frozen=True, eq=False)
class FrameLayout:
    """Where the arrays of a frame lie.

    places: by site, in order; rows: of each array; keys: positions that a row looks at, at most.
    """

    places: Mapping[str, Place]
    rows: int
    keys: int

    def size(self, place: Place) -> int:
        """Numbers of an array."""
        count = self.rows * (self.keys if place.square else 1)
        for length in place.shape:
            count *= length
        return count

    @cached_property
    def table(self) -> Int64:
        """What kernels read, see `glassformer.kernels.capture`."""
        found = empty_table(len(self.places))
        found[:PLACES] = self.rows, self.keys, self.keys, 1, 0, self.count
        rooms = [-(-self.size(place) // LINE) * LINE for place in self.places.values()]
        found[PLACES + 1 :] = np.cumsum(rooms[:-1])
        return found

    @cached_property
    def squares(self) -> bool:
        """Whether there are sites whose rows look at positions."""
        return any(place.square for place in self.places.values())

    @cached_property
    def count(self) -> int:
        """Numbers of a frame."""
        return sum(-(-self.size(place) // LINE) * LINE for place in self.places.values())

    @cached_property
    def starts(self) -> dict[str, int]:
        """Where each array begins."""
        return dict(zip(self.places, self.table[PLACES:].tolist(), strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of a frame."""
        return 4 * self.count


class Frame(NamedTuple):
    """Memory for what is captured of a pass, or of several steps that follow one another.

    memory: [steps * layout.count] float32, from a cache line on. kept: for each sequence of the batch, the row in the
    frame of each of its positions, -1 for one that is not kept; None: all rows of the batch in order. keys: that are
    written for each row of a square, one more for each further step; None: as many as the layout has. store: the memory
    that kernels are given, of which `memory` is a part, from `start` on; None: `memory` itself.
    """

    layout: FrameLayout
    memory: Float32
    kept: Sequence[Int64] | None = None
    keys: int | None = None
    store: Float32 | None = None
    start: int = 0
    steps: int = 1

    @property
    def whole(self) -> Float32:
        """What kernels are given."""
        return self.memory if self.store is None else self.store

    def fill(self, table: Int64) -> None:
        """Write into a table where the frame is, and how many keys there are."""
        table[FRAME] = self.start
        table[FRAME_KEYS] = self.layout.keys if self.keys is None else self.keys

    def check_memory(self) -> None:
        """Refuse memory that kernels would write beyond.

        Raises:
            ShapeError: for too little, or such that does not begin at a cache line.
        """
        whole, needed = self.whole, self.start + self.steps * self.layout.count
        if whole.dtype != np.float32 or whole.size < needed or address_of(whole) % (4 * LINE) or self.start % LINE:
            raise ShapeError(
                f"a frame needs {needed} float32 from a cache line on; found {whole.size} of {whole.dtype}"
            )

    def check(self, row: int, keys: int) -> None:
        """Refuse rows and keys that there is no room for.

        Raises:
            ShapeError: with what there is.
        """
        layout, written = self.layout, self.layout.keys if self.keys is None else self.keys
        if row >= layout.rows or (layout.squares and not keys <= written <= layout.keys - self.steps + 1):
            raise ShapeError(
                f"a frame of {layout.rows} rows over {written} of {layout.keys} keys has no room for row {row} "
                f"that looks at {keys}"
            )

    def targets(self, part: int, row: int, past: int, count: int) -> Int64:
        """Rows in the frame of so many tokens: a sequence's behind `past`, from row number `row` of the batch."""
        return np.arange(row, row + count) if self.kept is None else self.kept[part][past : past + count]

    def array(self, site: str, rows: slice = slice(None), keys: int | None = None, step: int = 0) -> Float32:
        """A site's array: a view of the frame of a step, of some of its rows and the first keys."""
        place, layout = self.layout.places[site], self.layout
        start = step * layout.count + layout.starts[site]
        flat = self.memory[start : start + layout.size(place)]
        if place.square:
            return flat.reshape(*place.shape, layout.rows, layout.keys)[:, rows, :keys]  # [heads, rows, keys]
        return flat.reshape(layout.rows, *place.shape)[rows]  # [rows, ...]


class Captured(Mapping[str, Float32]):
    """Arrays by site of one sequence in a frame, made when they are asked for.

    rows: of the frame, that are the sequence's; keys: that it looks at; step: of the frame; sites: those shown.
    """

    def __init__(
        self, frame: Frame, rows: slice, keys: int, step: int = 0, sites: Collection[str] | None = None
    ) -> None:
        self.frame, self.rows, self.length, self.step = frame, rows, keys, step
        self.sites: Collection[str] = frame.layout.places if sites is None else sites

    def __getitem__(self, site: str) -> Float32:
        if site not in self.sites:
            raise KeyError(site)
        return self.frame.array(site, self.rows, self.length, self.step)

    def __iter__(self) -> Iterator[str]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __contains__(self, site: object) -> bool:
        return site in self.sites


class Rest(NamedTuple):
    """Frames that are leased together and not given out yet: their memory, the number of the first, and how many."""

    memory: Float32
    first: int
    left: int


class FrameStore:
    """Frames of one layout in one memory, some of them leased together, and again when nobody holds an array of these.

    The first AHEAD bytes are made real at once, so that the passes do not wait for pages.

    Raises:
        MemoryError, ValueError: without room for so many frames.
    """

    AHEAD = 256 << 20

    def __init__(self, layout: FrameLayout, count: int) -> None:
        self.layout = layout
        self.memory: Float32 = aligned(layout.count * count + 1, np.float32)
        self.memory[: self.AHEAD // 4].fill(0.0)
        self.busy = np.zeros(count, bool)
        self.held: dict[int, weakref.ref[Float32]] = {}
        self.rest = Rest(self.memory[:0], 0, 0)

    def take(self, position: int, steps: int = 1) -> Frame:
        """Frames for so many steps, or as many as there are side by side, of one row each, the first at this position.

        A step's row looks at the positions up to its own.
        """
        rest = self.rest if self.rest.left else self._lease(max(steps, LEASE // steps * steps))
        taken, size = min(steps, rest.left), self.layout.count
        memory = rest.memory[: taken * size]
        self.rest = Rest(rest.memory[taken * size :], rest.first + taken, rest.left - taken)
        return Frame(self.layout, memory, None, position + 1, self.memory, rest.first * size, taken)

    def _lease(self, most: int) -> Rest:
        """Some frames that nobody holds; what they are made of is given back when no array of any is held."""
        self.rest = Rest(self.memory[:0], 0, 0)  # so that those before are not held by this
        first = int(self.busy.argmin())
        run = self.busy[first : first + most]
        count = int(run.argmax()) if run.any() else len(run)
        self.busy[first : first + count] = True
        size = self.layout.count
        # An array over a buffer and not over an array: arrays made of it refer to it, and not to the memory behind.
        memory = np.frombuffer(self.memory[first * size : max((first + count) * size, 1)].data, np.float32)
        self.held[first] = weakref.ref(memory, partial(give_back, self.busy, first, count))
        return Rest(memory, first, count)


def give_back(busy: npt.NDArray[np.bool_], first: int, steps: int, _: weakref.ref[Float32]) -> None:
    """Make frames such that nobody holds."""
    busy[first : first + steps] = False
