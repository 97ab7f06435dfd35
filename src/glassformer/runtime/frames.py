"""Frames: memory that holds what was captured of a pass, the arrays of all sites one after the other."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from glassformer.kernels.capture import FRAME_KEYS, PLACES
from glassformer.runtime.arrays import Float32, ShapeError
from glassformer.runtime.memory import aligned
from glassformer.simd.kernel import address_of

Int64 = npt.NDArray[np.int64]
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
        found[:PLACES] = self.rows, self.keys, self.keys, 1
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


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of memory and the rows that it is for.

    memory: [count] float32. kept: for each sequence of the batch, the row in the frame of each of its positions, -1 for
    one that is not kept. None: all rows of the batch in order. keys: that are written for each row of a square; None:
    as many as the layout has.
    """

    layout: FrameLayout
    memory: Float32
    kept: Sequence[Int64] | None = None
    keys: int | None = None

    def __post_init__(self) -> None:
        size = self.memory.size
        if self.memory.dtype != np.float32 or size < self.layout.count or address_of(self.memory) % (4 * LINE):
            raise ShapeError(
                f"a frame of {self.layout.count} numbers in {size} of {self.memory.dtype}; "
                "expected as many float32 from a cache line on"
            )

    def fill_keys(self, table: Int64) -> None:
        """Write into a table how many keys there are."""
        table[FRAME_KEYS] = self.layout.keys if self.keys is None else self.keys

    def check(self, row: int, keys: int) -> None:
        """Refuse rows and keys that there is no room for."""
        room = self.layout.keys if self.keys is None else self.keys
        if row >= self.layout.rows or (self.layout.squares and keys > room):
            raise ShapeError(
                f"a frame of {self.layout.rows} rows over {room} keys has no room for row {row} that looks at {keys}"
            )

    def targets(self, part: int, row: int, past: int, count: int) -> Int64:
        """Rows in the frame of so many tokens: a sequence's behind `past`, from row number `row` of the batch."""
        return np.arange(row, row + count) if self.kept is None else self.kept[part][past : past + count]

    def array(self, site: str, rows: slice = slice(None), keys: int | None = None) -> Float32:
        """A site's array: a view of the frame, of some of its rows and the first keys."""
        place, layout = self.layout.places[site], self.layout
        start = layout.starts[site]
        flat = self.memory[start : start + layout.size(place)]
        if place.square:
            return flat.reshape(*place.shape, layout.rows, layout.keys)[:, rows, :keys]  # [heads, rows, keys]
        return flat.reshape(layout.rows, *place.shape)[rows]  # [rows, ...]


class Captured(Mapping[str, Float32]):
    """Arrays by site of one sequence in a frame, made when they are asked for."""

    def __init__(self, frame: Frame, rows: slice, keys: int) -> None:
        self.frame, self.rows, self.keys_seen = frame, rows, keys

    def __getitem__(self, site: str) -> Float32:
        return self.frame.array(site, self.rows, self.keys_seen)

    def __iter__(self) -> Iterator[str]:
        return iter(self.frame.layout.places)

    def __len__(self) -> int:
        return len(self.frame.layout.places)

    def __contains__(self, site: object) -> bool:
        return site in self.frame.layout.places


class FrameStore:
    """Frames of one layout in one memory, each used again when nobody holds an array of it any more.

    The first AHEAD bytes are made real at once, so that the passes do not wait for pages.

    Raises:
        MemoryError, ValueError: without room for so many frames.
    """

    AHEAD = 256 << 20

    def __init__(self, layout: FrameLayout, count: int) -> None:
        self.layout = layout
        self.memory: Float32 = aligned(layout.count * count + 1, np.float32)
        self.memory[: self.AHEAD // 4].fill(0.0)
        self.free = list(range(count - 1, -1, -1))
        self.given_back = [partial(give_back, self.free, number) for number in range(count)]
        self.held: list[weakref.ref[Float32] | None] = [None] * count

    def take(self, position: int) -> Frame:
        """A frame for the row of one position, which looks at those up to its own."""
        number = self.free.pop()
        start = number * self.layout.count
        # An array over a buffer and not over an array: arrays made of it refer to it, and not to the memory behind.
        memory = np.frombuffer(self.memory[start : start + max(self.layout.count, 1)].data, np.float32)
        self.held[number] = weakref.ref(memory, self.given_back[number])
        return Frame(self.layout, memory, None, position + 1)


def give_back(free: list[int], number: int, _: weakref.ref[Float32]) -> None:
    """Make a frame one that nobody holds."""
    free.append(number)
