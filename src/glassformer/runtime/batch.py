"""What one forward pass reads: rows of one or more sequences, in small arrays that kernels look into.

A plan is recorded for a batch's form and replayed for any batch of that form; only these arrays are written anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glassformer.kernels.attention import TILE, tile_rows
from glassformer.runtime.kv_cache import CacheError, KVCache, Layout

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Part = tuple[Int32, KVCache]  # new token ids of a sequence, and its cache


# Batches of several sequences are filled up to a multiple, so that not every one needs a plan of its own: to a tile of
# the products, and where there are more rows than SMALL, to a whole number of larger ones.
BUCKET, SMALL, LARGE_BUCKET = 4, 32, 16


class Form(NamedTuple):
    """What decides a batch's launches: sizes alone, never ids, positions or lengths.

    A batch may fill a form in part: the rows behind its own are computed for nothing, and no tile looks at them.
    """

    layout: Layout
    rows: int
    tiles: int
    parts: int
    blocks: int  # in the longest sequence's table
    tile_rows: int  # at most
    one_tile: bool  # whether every sequence has but one tile
    last_only: bool


@dataclass(frozen=True, eq=False)
class Batch:
    """The arrays of a form.

    ids, positions: [rows]; tiles: [tiles, TILE], see `glassformer.kernels.attention`; table: [parts, blocks], numbers
    of blocks in the pool; last: [parts], each sequence's last row; memory: the pool's.
    """

    form: Form
    ids: Int32
    positions: Int32
    tiles: Int64
    table: Int64
    last: Int32
    memory: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls, form: Form, memory: npt.NDArray[np.uint8]) -> Batch:
        """Room for batches of a form."""
        small = (np.zeros(form.rows, np.int32), np.zeros(form.rows, np.int32))
        tiles, table = np.zeros((form.tiles, TILE), np.int64), np.zeros((form.parts, form.blocks), np.int64)
        return cls(form, *small, tiles, table, np.zeros(form.parts, np.int32), memory)

    def fill(self, parts: Sequence[Part]) -> None:
        """Write what the kernels are to do for these sequences, whose caches have room reserved."""
        if self.form.rows == 1:  # the step of a single sequence, which should cost little
            (ids, cache) = parts[0]
            self.ids[0], self.positions[0] = ids[0], cache.length
            self.tiles[0] = 0, 1, cache.length, 0
            self.table[0, : len(cache.table)] = cache.table
            return
        row = tile = 0
        for number, (ids, cache) in enumerate(parts):
            count, past = len(ids), cache.length
            self.ids[row : row + count] = ids
            self.positions[row : row + count] = past if count == 1 else np.arange(past, past + count)
            self.table[number, : len(cache.table)] = cache.table
            for first in range(0, count, self.form.tile_rows):
                rows = min(self.form.tile_rows, count - first)
                self.tiles[tile] = row + first, rows, past + first, number * self.form.blocks
                tile += 1
            row += count
            self.last[number] = row - 1
        self.ids[row:] = self.positions[row:] = 0
        self.tiles[tile:] = 0


def form_of(parts: Sequence[Part], vector_bits: int, *, last_only: bool, blocks: int) -> Form:
    """The form of a batch whose caches have room reserved, with room for so many blocks in each table.

    Raises:
        CacheError: if the sequences' caches do not share one pool, or one cache comes twice.
    """
    first = parts[0][1]
    if len(parts) == len(parts[0][0]) == 1:  # the step of a single sequence, which should cost little
        return Form(first.layout, 1, 1, 1, blocks, 1, True, last_only)
    if any(cache.pool is not first.pool for _, cache in parts):
        raise CacheError("a batch's caches lie in different pools; make them together, by new_caches")
    if len({id(cache) for _, cache in parts}) < len(parts):
        raise CacheError("a batch names one cache twice; join that sequence's tokens into one part")
    counts = [len(ids) for ids, _ in parts]
    if max(counts) == 1 and len(parts) > BUCKET:
        size = filled(len(parts), BUCKET)
        return Form(first.layout, size, size, size, blocks, 1, True, last_only)
    rows, tile = sum(counts), tile_rows(max(counts), vector_bits)
    tiles = sum(-(-count // tile) for count in counts)
    if 1 < len(parts) < rows:
        number, one_tile = filled(len(parts), BUCKET), tiles == len(parts)
        # More rows than parts: where there are as many, each row is taken for the last of its part.
        size = filled(max(rows, number + 1), BUCKET if rows <= SMALL else LARGE_BUCKET)
        return Form(first.layout, size, filled(tiles, BUCKET), number, blocks, tile, one_tile, last_only)
    return Form(first.layout, rows, tiles, len(parts), blocks, tile, tiles == len(parts), last_only)


def filled(size: int, multiple: int) -> int:
    """The next multiple from a size on."""
    return -(-size // multiple) * multiple


def batch_of(cache: KVCache, tokens: int, vector_bits: int) -> Batch:
    """New tokens of one sequence as a batch, for an operation that asks for no more than their places."""
    part = (np.zeros(tokens, np.int32), cache)
    batch = Batch.empty(form_of([part], vector_bits, last_only=True, blocks=len(cache.table)), cache.pool.memory)
    batch.fill([part])
    return batch


class Piece(NamedTuple):
    """Tokens of one part of a batch, from its token number `first` on; `ends`: they are its last."""

    part: int
    ids: Int32
    first: int
    ends: bool


def passes(parts: Sequence[Part], rows: int) -> Iterator[list[Piece]]:
    """A batch's tokens in passes of at most so many rows."""
    group: list[Piece] = []
    room = rows
    for number, (ids, _) in enumerate(parts):
        for first in split(len(ids), room, rows):
            taken = ids[first : first + room]
            group.append(Piece(number, taken, first, first + len(taken) == len(ids)))
            room -= len(taken)
            if room == 0:
                yield group
                group, room = [], rows
    if group:
        yield group


def split(tokens: int, room: int, rows: int) -> Iterator[int]:
    """Where the pieces of so many tokens begin, when the first may have `room` rows and each further one `rows`."""
    yield 0
    yield from range(room, tokens, rows)
