"""Copies of what a model computes on the way, into a frame: the arrays of all captured sites, one after the other.

A table says where they lie, in numbers: [rows, pitch, keys, place of site 0, place of site 1, ...]. A site is
[rows][width] or, where each row looks at positions, [heads][rows][pitch], of which the first `keys` are written. What
is kept of a pass is in its targets: for each of its rows the row in the frame, or -1 for one that nobody asked for.
"""

from glassformer.kernels.softmax import softmax_row
from glassformer.simd import Pointer, f32, f32x16, i32, i64, kernel, load, static_range, store

FRAME_ROWS, PITCH, FRAME_KEYS, PLACES = 0, 1, 2, 3  # of the table
CHUNK = 4096  # numbers of a row that a task copies


@kernel
def copy(source: Pointer[f32], target: Pointer[f32], count: i64) -> None:
    """target[i] = source[i]."""
    for i in range(0, count, 16):
        store(target + i, load(source + i, f32x16, count=count - i), count=count - i)


@kernel
def keep_rows(
    x: Pointer[f32], frame: Pointer[f32], table: Pointer[i64], targets: Pointer[i64], number: i64, width: i64,
    row_stride: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """Copy the rows that are asked for to site `number`;  x: [rows], row_stride numbers apart; a task is a chunk."""
    chunks = (width + CHUNK - 1) // CHUNK
    for task in range(begin, end):
        row = task // chunks
        first = task % chunks * CHUNK
        if targets[row] >= 0:
            target = frame + table[PLACES + number] + targets[row] * width
            copy(x + row * row_stride + first, target + first, min(width - first, CHUNK))


@kernel
def keep_square(
    x: Pointer[f32], frame: Pointer[f32], table: Pointer[i64], targets: Pointer[i64], number: i64, rows: i64,
    pitch: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """The same for x: [heads][rows][pitch]; a task is a row of a head."""
    for task in range(begin, end):
        target = targets[task % rows]
        if target >= 0:
            place = (task // rows * table[FRAME_ROWS] + target) * table[PITCH]
            copy(x + task * pitch, frame + table[PLACES + number] + place, table[FRAME_KEYS])


@kernel
def blank_scores(
    frame: Pointer[f32], table: Pointer[i64], targets: Pointer[i64], number: i64, head: i64, rows: i64, seen: i64
) -> None:
    """The scores of a tile's rows of one head, set to -infinity from a position on."""
    for row in range(rows):
        if targets[row] >= 0:
            target = frame + table[PLACES + number] + (head * table[FRAME_ROWS] + targets[row]) * table[PITCH]
            for i in range(seen, table[FRAME_KEYS], 16):
                store(target + i, f32x16(-float("inf")), count=table[FRAME_KEYS] - i)


@kernel
def keep_scores(
    scores: Pointer[f32], frame: Pointer[f32], table: Pointer[i64], targets: Pointer[i64], number: i64, head: i64,
    rows: i64, first: i64, *, QUERIES: int, KEYS: int,
) -> None:  # fmt: skip
    """Copy a block of scores [QUERIES, KEYS] of one head, `first` the position of its first key, to site `number`."""
    for i in static_range(QUERIES):
        if rows > i and targets[min(i, rows - 1)] >= 0:
            row = (head * table[FRAME_ROWS] + targets[i]) * table[PITCH]
            count = min(table[FRAME_KEYS] - first, i64(KEYS))
            copy(scores + i * KEYS, frame + table[PLACES + number] + row + first, count)


@kernel
def pattern_of_scores(
    scores: Pointer[f32], source: Pointer[i64], from_site: i64, out: Pointer[f32], table: Pointer[i64], to_site: i64,
    targets: Pointer[i64], positions: Pointer[i32], rows: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """Attention weights of scores, both [heads][rows][pitch] in a frame (`source` and `table` say where), or one place.

    A row's weights are the softmax of the scores up to its own position, and 0 behind. A task is a row of a head.
    """
    for task in range(begin, end):
        target = targets[task % rows]
        if target >= 0:
            head = task // rows
            x = scores + source[PLACES + from_site] + (head * source[FRAME_ROWS] + target) * source[PITCH]
            y = out + table[PLACES + to_site] + (head * table[FRAME_ROWS] + target) * table[PITCH]
            seen = i64(positions[task % rows]) + 1
            softmax_row(x, y, seen, LOG=False)
            for i in range(seen, table[FRAME_KEYS], 16):
                store(y + i, f32x16(0.0), count=table[FRAME_KEYS] - i)
