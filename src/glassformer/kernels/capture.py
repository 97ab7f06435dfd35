"""Copies of what a model computes on the way, into a frame: the arrays of all captured sites, one after the other.

A table says where they lie, in numbers; behind the fields named below come the places of the sites. A site is
[rows][width] or, where each row looks at positions, [heads][rows][pitch], of which the first `keys` are written. What
is kept of a pass is in its targets: for each of its rows the row in the frame, or -1 for one that nobody asked for.
"""

from glassformer.kernels.softmax import softmax_row
from glassformer.simd import Pointer, exp, f32, f32x16, i32, i64, kernel, load, store, stream

# Of the table. ALIGNED: whether the memory begins at a cache line, as frames and their sites do; FRAME: where the frame
# begins in the memory; SIZE: how far the next one is behind it.
FRAME_ROWS, PITCH, FRAME_KEYS, ALIGNED, FRAME, SIZE, PLACES = 0, 1, 2, 3, 4, 5, 6
CHUNK = 4096  # numbers of a row that a task copies


@kernel
def copy(source: Pointer[f32], target: Pointer[f32], count: i64, aligned: i64) -> None:
    """target[i] = source[i]; past the caches where the target is `aligned`, which are full of what is used again."""
    whole = count // 16 * 16
    if aligned != 0:
        for i in range(0, whole, 16):
            stream(target + i, load(source + i, f32x16))
    else:
        for i in range(0, whole, 16):
            store(target + i, load(source + i, f32x16))
    if count > whole:
        store(target + whole, load(source + whole, f32x16, count=count - whole), count=count - whole)


@kernel
def square_row(frame: Pointer[f32], table: Pointer[i64], number: i64, head: i64, row: i64) -> Pointer[f32]:
    """Where a head's row of a square site lies."""
    return frame + (table[FRAME] + table[PLACES + number] + (head * table[FRAME_ROWS] + row) * table[PITCH])


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
            target = frame + table[FRAME] + table[PLACES + number] + targets[row] * width
            aligned = table[ALIGNED] if targets[row] * width % 16 == 0 else i64(0)
            copy(x + row * row_stride + first, target + first, min(width - first, CHUNK), aligned)


@kernel
def keep_square(
    x: Pointer[f32], frame: Pointer[f32], table: Pointer[i64], targets: Pointer[i64], number: i64, rows: i64,
    pitch: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """The same for x: [heads][rows][pitch]; a task is a row of a head."""
    for task in range(begin, end):
        target = targets[task % rows]
        if target >= 0:
            aligned = table[ALIGNED] if table[PITCH] % 16 == 0 else i64(0)
            place = square_row(frame, table, number, task // rows, target)
            copy(x + task * pitch, place, table[FRAME_KEYS], aligned)


@kernel
def blank(
    frame: Pointer[f32], table: Pointer[i64], targets: Pointer[i64], number: i64, head: i64, rows: i64, seen: i64,
    value: f32,
) -> None:  # fmt: skip
    """One value from a position on, for a tile's rows of one head."""
    for row in range(rows):
        if targets[row] >= 0:
            target = square_row(frame, table, number, head, targets[row])
            for i in range(seen, table[FRAME_KEYS], 16):
                store(target + i, f32x16(value), count=table[FRAME_KEYS] - i)


@kernel
def begin_sites(
    frame: Pointer[f32], table: Pointer[i64], targets: Pointer[i64], scores_site: i64, pattern_site: i64, head: i64,
    rows: i64, position: i64, *, SCORES: bool, PATTERN: bool, KEYS: int,
) -> None:  # fmt: skip
    """What stands behind the blocks before that of a tile's first row: no score, and no weight."""
    seen = position // KEYS * KEYS
    if SCORES:
        blank(frame, table, targets, scores_site, head, rows, seen, -float("inf"))
    if PATTERN:
        blank(frame, table, targets, pattern_site, head, rows, seen, 0.0)


@kernel
def keep_scores(
    scores: Pointer[f32], frame: Pointer[f32], table: Pointer[i64], targets: Pointer[i64], number: i64, head: i64,
    rows: i64, first: i64, *, QUERIES: int, KEYS: int,
) -> None:  # fmt: skip
    """Copy a block of scores [QUERIES, KEYS] of one head, `first` the position of its first key, to site `number`."""
    aligned = table[ALIGNED] if table[PITCH] % 16 == 0 else i64(0)
    for i in range(min(rows, QUERIES)):
        if targets[i] >= 0:
            target = square_row(frame, table, number, head, targets[i])
            copy(scores + i * KEYS, target + first, min(table[FRAME_KEYS] - first, i64(KEYS)), aligned)


@kernel
def keep_weights(
    weights: Pointer[f32], highest: Pointer[f32], peaks: Pointer[f32], n_blocks: i64, frame: Pointer[f32],
    table: Pointer[i64], targets: Pointer[i64], number: i64, head: i64, rows: i64, first: i64,
    *, QUERIES: int, KEYS: int,
) -> None:  # fmt: skip
    """The same for a block's weights, which are relative to the highest score of each query so far.

    That is remembered in peaks: [queries][n_blocks].
    """
    for i in range(min(rows, QUERIES)):
        if targets[i] >= 0:
            target = square_row(frame, table, number, head, targets[i])
            copy(weights + i * KEYS, target + first, min(table[FRAME_KEYS] - first, i64(KEYS)), 0)
            peaks[i * n_blocks + first // KEYS] = highest[i]


@kernel
def end_weights(
    target: Pointer[f32], peaks: Pointer[f32], highest: f32, total: f32, seen: i64, *, KEYS: int
) -> None:  # fmt: skip
    """Make a query's weights of `seen` positions relative to the highest score of all, and sum to 1."""
    for first in range(0, seen, KEYS):
        factor = exp(f32x16(peaks[first // KEYS] - highest)) / total
        for i in range(first, min(first + KEYS, seen), 16):
            store(target + i, load(target + i, f32x16, count=seen - i) * factor, count=seen - i)


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
            x = square_row(scores, source, from_site, head, target)
            y = square_row(out, table, to_site, head, target)
            seen = i64(positions[task % rows]) + 1
            softmax_row(x, y, seen, LOG=False)
            for i in range(seen, table[FRAME_KEYS], 16):
                store(y + i, f32x16(0.0), count=table[FRAME_KEYS] - i)


@kernel
def next_frame(table: Pointer[i64], begin: i64, end: i64) -> None:
    """Let a table say where the next step's frame is, which looks at one position more; a single task."""
    table[FRAME] = table[FRAME] + table[SIZE]
    table[FRAME_KEYS] = table[FRAME_KEYS] + 1
