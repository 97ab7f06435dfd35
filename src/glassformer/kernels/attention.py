"""Causal attention over a paged cache of keys and values, with the softmax computed on the way (Milakov & Gimelshein,
2018; pages: Kwon et al., 2023).

Memory is blocks of KEYS positions, [blocks][layers][heads][chunk]. A chunk holds one head's keys as
[KEYS / 16][head_dim][16], so that a vector holds the scores of 16 positions; its values as [KEYS][padded head_dim]; and
where these are of eight bits, an f16 scale for each key and each value. A sequence's table says which blocks are its
own. Its blocks stand at fixed positions and are taken in one order, so that neither chunks of the prompt nor the cache
nor other sequences change a bit.

What is to be done comes as tiles, [tiles][TILE]: consecutive rows of one sequence.
"""

from glassformer.kernels.append import append_tile
from glassformer.kernels.capture import begin_sites, end_weights, keep_scores, keep_weights, square_row
from glassformer.kernels.matmul import LINE
from glassformer.kernels.pages import KEYS as KEYS
from glassformer.kernels.pages import POSITION as POSITION
from glassformer.kernels.pages import ROW, TABLE
from glassformer.kernels.pages import ROWS as ROWS
from glassformer.kernels.pages import TILE as TILE
from glassformer.simd import (
    Pointer,
    cast,
    exp,
    exp_normal,
    f16,
    f16x16,
    f32,
    f32x16,
    fma,
    i32,
    i32x16,
    i64,
    kernel,
    lane_numbers,
    load,
    maximum,
    prefetch,
    reduce_add,
    reduce_max,
    select,
    static_range,
    store,
    u8,
    vector,
)  # fmt: skip
from glassformer.simd.types import Value, byte_size

LOWEST = -float("inf")
NEGLIGIBLE = -87.0  # a distance to the highest score, of which the weight is lost in any sum


def tile_rows(longest: int, vector_bits: int) -> int:
    """Rows of a tile at most, for sequences of which the longest has so many."""
    if longest == 1:
        return 1
    if vector_bits < 256:
        return 2  # as many as registers hold
    return 16 if longest >= 64 else 4


def query_rows(rows: int) -> int:
    """Rows whose sums are held in registers together, of a tile of so many."""
    return min(rows, 4)


def wide_vectors(queries: int, vector_bits: int) -> int:
    """Vectors of 16 that so many rows take at a time: as many as registers hold, of 4."""
    return 4 if vector_bits >= 512 or queries == 1 else 1


# What the softmax of a tile remembers, 16 numbers each, number i for query i: the highest score so far, the sum of
# weights, and by how much what was summed before must shrink.
HIGHEST, TOTAL, SHRINK, STATES = 0, 16, 32, 48


def scratch_size(rows: int, queries: int, vectors: int) -> int:
    """Numbers that a task of so many rows writes on the way."""
    return -(-rows // queries) * (STATES + queries * (KEYS + 16 * vectors))


@kernel
def score(
    q: Pointer[f32], row_stride: i64, rows: i64, chunk: Pointer[u8], scales: Pointer[f16], scores: Pointer[f32],
    position: i64, head_dim: i64, scale: f32, ahead: Pointer[u8],
    *, QUERIES: int, WIDE: int, W: type[Value], QUANTIZED: bool, APPEND: bool,
) -> None:  # fmt: skip
    """scores[i, key] = scale q[i] . key for a block of KEYS positions, -infinity where query i does not look.

    scores: [QUERIES, KEYS]; rows: how many of the queries there are; position: of the first one, within the block.
    ahead: the chunk to be read next, which is asked for on the way where APPEND says that tiles share none.
    """
    column = cast(chunk, W)
    STEP = KEYS * byte_size(W)
    for J in static_range(0, KEYS // 16, WIDE):
        sums = [[f32x16(0.0) for j in static_range(WIDE)] for i in static_range(QUERIES)]
        for d in range(head_dim):
            if APPEND and J == 0:
                for line in static_range(0, STEP, LINE):
                    prefetch(ahead + (d * STEP + line), 2)
            for j in static_range(WIDE):
                key = f32x16(load(column + ((J + j) * head_dim + d) * 16, vector(W, 16)))
                for i in static_range(QUERIES):
                    sums[i][j] = fma(key, q[min(i, rows - 1) * row_stride + d], sums[i][j])
        for i in static_range(QUERIES):
            for j in static_range(WIDE):
                seen = lane_numbers(i32x16) + 16 * (J + j) <= i32(position + i)
                total = sums[i][j]
                if QUANTIZED:
                    total = total * f32x16(load(scales + 16 * (J + j), f16x16))
                store(scores + (i * KEYS + 16 * (J + j)), select(seen, total * scale, LOWEST))


@kernel
def soften(weights: Pointer[f32], states: Pointer[f32], scales: Pointer[f16], *, QUERIES: int, QUANTIZED: bool) -> None:
    """A block's scores [QUERIES, KEYS] to weights that are relative to the highest score of each query so far.

    The queries' chains are long and narrow, so they go side by side; what is one number a query is one vector.
    """
    lane = lane_numbers(i32x16)
    highest = load(states + HIGHEST, f32x16)
    newest = highest
    for i in static_range(QUERIES):
        top = load(weights + i * KEYS, f32x16)
        for j in static_range(16, KEYS, 16):
            top = maximum(top, load(weights + (i * KEYS + j), f32x16))
        newest = select(lane == i, maximum(newest, reduce_max(top)), newest)
    store(states + HIGHEST, newest)
    shrink = exp(highest - newest)
    store(states + SHRINK, shrink)
    amounts = f32x16(0.0)
    for i in static_range(QUERIES):
        amount = f32x16(0.0)
        for j in static_range(0, KEYS, 16):
            distance = load(weights + (i * KEYS + j), f32x16) - states[HIGHEST + i]
            power = select(distance < NEGLIGIBLE, 0.0, exp_normal(distance))
            amount = amount + power
            if QUANTIZED:  # the values' scales, which the sum of weights is without
                power = power * f32x16(load(scales + KEYS + j, f16x16))
            store(weights + (i * KEYS + j), power)
        amounts = select(lane == i, reduce_add(amount), amounts)
    store(states + TOTAL, fma(load(states + TOTAL, f32x16), shrink, amounts))


@kernel
def mix(
    weights: Pointer[f32], states: Pointer[f32], mixed: Pointer[f32], values: Pointer[u8], position: i64, rows: i64,
    ahead: Pointer[u8], *, VECTORS: int, QUERIES: int, WIDE: int, W: type[Value], APPEND: bool,
) -> None:  # fmt: skip
    """mixed[i] = mixed[i] * shrink[i] + weights[i] @ values over a block;  weights: [QUERIES, KEYS].

    ahead: the values to be read next, as in `score`.
    """
    row = cast(values, W)
    STEP = 16 * VECTORS * byte_size(W)
    for D in static_range(0, VECTORS, WIDE):
        ENDS = min(D + WIDE, VECTORS)
        total = [
            [load(mixed + (i * VECTORS + d) * 16, f32x16) * states[SHRINK + i] for d in static_range(D, ENDS)]
            for i in static_range(QUERIES)
        ]
        # First the positions that all queries see, then one by one those that only later queries do: a weight of zero
        # would not keep a position out, for 0 * NaN is NaN.
        for key in range(min(position + 1, KEYS)):
            if APPEND and D == 0:
                for line in static_range(0, STEP, LINE):
                    prefetch(ahead + (key * STEP + line), 2)
            for d in static_range(D, ENDS):
                x = f32x16(load(row + key * (16 * VECTORS) + 16 * d, vector(W, 16)))
                for i in static_range(QUERIES):
                    total[i][d - D] = fma(x, weights[i * KEYS + key], total[i][d - D])
        for LATER in static_range(1, QUERIES):
            key = position + LATER
            if key >= 0 and key < KEYS and rows > LATER:
                for d in static_range(D, ENDS):
                    x = f32x16(load(row + key * (16 * VECTORS) + 16 * d, vector(W, 16)))
                    for i in static_range(LATER, QUERIES):
                        total[i][d - D] = fma(x, weights[i * KEYS + key], total[i][d - D])
        for i in static_range(QUERIES):
            for d in static_range(D, ENDS):
                store(mixed + (i * VECTORS + d) * 16, total[i][d - D])


@kernel
def scale_weights(weights: Pointer[f32], scales: Pointer[f16], *, QUERIES: int) -> None:
    """Give weights [QUERIES, KEYS] the values' scales."""
    for i in static_range(QUERIES):
        for j in static_range(0, KEYS, 16):
            place = weights + (i * KEYS + j)
            store(place, load(place, f32x16) * f32x16(load(scales + KEYS + j, f16x16)))


@kernel
def look(
    q: Pointer[f32], row_stride: i64, rows: i64, chunk: Pointer[u8], states: Pointer[f32], position: i64, head_dim: i64,
    scale: f32, ahead: Pointer[u8], frame: Pointer[f32], places: Pointer[i64], targets: Pointer[i64], scores_site: i64,
    pattern_site: i64, peaks: Pointer[f32], n_blocks: i64, head: i64, first: i64, row: i64,
    *, VECTORS: int, QUERIES: int, WIDE: int, W: type[Value], QUANTIZED: bool, APPEND: bool, SCORES: bool,
    PATTERN: bool,
) -> None:  # fmt: skip
    """Take one block of keys and values into what the queries have so far: [STATES][scores][mixed values].

    first: the position of the block's first key; row: of the first query. What is kept of it: see `attention`.
    """
    weights = states + STATES
    values = cast(chunk, W) + KEYS * head_dim
    scales = cast(values + KEYS * (16 * VECTORS), f16)
    score(
        q, row_stride, rows, chunk, scales, weights, position, head_dim, scale, ahead,
        QUERIES=QUERIES, WIDE=WIDE, W=W, QUANTIZED=QUANTIZED, APPEND=APPEND,
    )  # fmt: skip
    if SCORES:
        keep_scores(weights, frame, places, targets + row, scores_site, head, rows, first, QUERIES=QUERIES, KEYS=KEYS)
    soften(weights, states, scales, QUERIES=QUERIES, QUANTIZED=QUANTIZED and not PATTERN)
    if PATTERN:
        keep_weights(
            weights, states + HIGHEST, peaks, n_blocks, frame, places, targets + row, pattern_site, head, rows, first,
            QUERIES=QUERIES, KEYS=KEYS,
        )  # fmt: skip
        if QUANTIZED:
            scale_weights(weights, scales, QUERIES=QUERIES)
    mix(
        weights, states, weights + QUERIES * KEYS, cast(values, u8), position, rows,
        cast(cast(ahead, W) + KEYS * head_dim, u8), VECTORS=VECTORS, QUERIES=QUERIES, WIDE=WIDE, W=W, APPEND=APPEND,
    )  # fmt: skip


@kernel
def begin_tile(states: Pointer[f32], rows: i64, *, VECTORS: int, QUERIES: int) -> None:
    """Nothing seen so far, by so many rows in groups of QUERIES."""
    SIZE = STATES + QUERIES * (KEYS + 16 * VECTORS)
    for group in range((rows + QUERIES - 1) // QUERIES):
        own = states + group * SIZE
        store(own + HIGHEST, select(lane_numbers(i32x16) < QUERIES, LOWEST, f32x16(0.0)))
        store(own + TOTAL, f32x16(0.0))
        for i in static_range(QUERIES * VECTORS):
            store(own + (STATES + QUERIES * KEYS + 16 * i), f32x16(0.0))


@kernel
def end_tile(
    states: Pointer[f32], out: Pointer[f32], out_stride: i64, rows: i64, head_dim: i64, *, VECTORS: int, QUERIES: int
) -> None:
    """Write the means of what the rows looked at."""
    SIZE = STATES + QUERIES * (KEYS + 16 * VECTORS)
    for r in range(rows):
        own = states + r // QUERIES * SIZE
        mixed = own + (STATES + QUERIES * KEYS) + r % QUERIES * (16 * VECTORS)
        for d in static_range(0, 16 * VECTORS, 16):
            mean = load(mixed + d, f32x16) / own[TOTAL + r % QUERIES]
            store(out + r * out_stride + d, mean, count=head_dim - d)


@kernel
def end_pattern(
    states: Pointer[f32], peaks: Pointer[f32], n_blocks: i64, frame: Pointer[f32], places: Pointer[i64],
    targets: Pointer[i64], site: i64, head: i64, rows: i64, position: i64, *, VECTORS: int, QUERIES: int,
) -> None:  # fmt: skip
    """Make what was kept of the rows' weights the softmax of their scores."""
    for r in range(rows):
        if targets[r] >= 0:
            own = states + r // QUERIES * (STATES + QUERIES * (KEYS + 16 * VECTORS))
            highest = own[HIGHEST + r % QUERIES]
            total = own[TOTAL + r % QUERIES]
            target = square_row(frame, places, site, head, targets[r])
            end_weights(target, peaks + r * n_blocks, highest, total, position + r + 1, KEYS=KEYS)


@kernel
def attention(
    q: Pointer[f32], k: Pointer[f32], v: Pointer[f32], memory: Pointer[u8], out: Pointer[f32], scratch: Pointer[f32],
    tiles: Pointer[i64], table: Pointer[i64], row_stride: i64, out_stride: i64, n_tiles: i64, scratch_stride: i64,
    layer_offset: i64, block_stride: i64, chunk_stride: i64, head_dim: i64, scale: f32, n_blocks: i64,
    frame: Pointer[f32], places: Pointer[i64], targets: Pointer[i64], scores_site: i64, pattern_site: i64, begin: i64,
    end: i64, *, VECTORS: int, QUERIES: int, WIDE: int, W: type[Value], QUANTIZED: bool, APPEND: bool, SCORES: bool,
    PATTERN: bool,
) -> None:  # fmt: skip
    """out[r, h] = softmax(scale q[r, h] . keys[h, : position of r + 1]) @ values[h];  q, out: [rows, heads, head_dim].

    VECTORS: of 16 lanes, that a padded head has; WIDE: that are taken at a time. A task is a tile of one head, whose
    rows take blocks of keys in turns of QUERIES; scratch: [tasks][scratch_stride]. APPEND: first write the tile's own k
    and v, which is enough where every sequence has but one tile. Strides of memory in bytes. SCORES, PATTERN: keep
    scores and their softmax at sites of a frame; each row then remembers a peak for each of n_blocks.
    """
    SIZE = STATES + QUERIES * (KEYS + 16 * VECTORS)
    heads = out_stride // head_dim
    for task in range(begin, end):
        # Sequences of a tile each: the heads of one lie together. Many tiles of one: they share the keys of a head.
        head = task % heads if APPEND else task // n_tiles
        tile = tiles + (task // heads if APPEND else task % n_tiles) * TILE
        rows = tile[ROWS]
        at = head * head_dim
        inside = memory + layer_offset + head * chunk_stride
        if APPEND:
            append_tile(
                k + at, v + at, inside, tile, table, row_stride, block_stride, head_dim, i64(16 * VECTORS),
                W=W, QUANTIZED=QUANTIZED,
            )  # fmt: skip
        states = scratch + task * scratch_stride
        begin_tile(states, rows, VECTORS=VECTORS, QUERIES=QUERIES)
        source = q + tile[ROW] * row_stride + at
        blocks = table + tile[TABLE]
        peaks = states + (rows + QUERIES - 1) // QUERIES * SIZE
        if SCORES or PATTERN:
            begin_sites(
                frame, places, targets + tile[ROW], scores_site, pattern_site, head, rows, tile[POSITION],
                SCORES=SCORES, PATTERN=PATTERN, KEYS=KEYS,
            )  # fmt: skip
        for block in range((tile[POSITION] + rows + KEYS - 1) // KEYS):
            # Ahead is the next block's chunk; behind the last block the next head's, which is likely the next task.
            more = (block + 1) * KEYS < tile[POSITION] + rows
            ahead = inside + (blocks[block + 1 if more else i64(0)] * block_stride + (i64(0) if more else chunk_stride))
            for group in range(0, rows, QUERIES):
                position = tile[POSITION] + group - block * KEYS
                if position + QUERIES > 0:
                    look(
                        source + group * row_stride, row_stride, rows - group, inside + blocks[block] * block_stride,
                        states + group // QUERIES * SIZE, position, head_dim, scale, ahead, frame, places, targets,
                        scores_site, pattern_site, peaks + group * n_blocks, n_blocks, head, block * KEYS,
                        tile[ROW] + group, VECTORS=VECTORS, QUERIES=QUERIES, WIDE=WIDE, W=W, QUANTIZED=QUANTIZED,
                        APPEND=APPEND, SCORES=SCORES, PATTERN=PATTERN,
                    )  # fmt: skip
        own = out + tile[ROW] * out_stride + at
        end_tile(states, own, out_stride, rows, head_dim, VECTORS=VECTORS, QUERIES=QUERIES)
        if PATTERN:
            end_pattern(
                states, peaks, n_blocks, frame, places, targets + tile[ROW], pattern_site, head, rows, tile[POSITION],
                VECTORS=VECTORS, QUERIES=QUERIES,
            )  # fmt: skip
