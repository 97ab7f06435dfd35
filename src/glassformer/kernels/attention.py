"""Causal attention over a paged cache of keys and values, with the softmax computed on the way (Milakov & Gimelshein,
2018; pages: Kwon et al., 2023).

Memory is blocks of KEYS positions, [blocks][layers][heads][chunk]. A chunk holds one head's keys as
[KEYS / 16][head_dim][16], so that a vector holds the scores of 16 positions; its values as [KEYS][padded head_dim]; and
where these are of eight bits, an f16 scale for each key and each value. A sequence's table says which blocks are its
own. Its blocks stand at fixed positions and are taken in one order, so that neither chunks of the prompt nor the cache
nor other sequences change a bit.

What is to be done comes as tiles, [tiles][TILE]: consecutive rows of one sequence.
"""

from glassformer.simd import (
    Pointer,
    absolute,
    cast,
    exp,
    f16,
    f16x16,
    f32,
    f32x16,
    fma,
    i8,
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
    round_even,
    saturate,
    select,
    static_range,
    store,
    u8,
    vector,
)  # fmt: skip
from glassformer.simd.types import Value, byte_size

KEYS = 64  # positions of a block
LOWEST = -float("inf")
LINE = 64  # bytes of a cache line

# A tile: its first row, how many rows, the position of the first one in its sequence, where its table begins.
TILE = 4
ROW, ROWS, POSITION, TABLE = 0, 1, 2, 3


def query_tile(longest: int, vector_bits: int) -> int:
    """Rows of a tile: more of them share what is read, as far as registers hold their sums."""
    if longest == 1:
        return 1
    return 4 if longest >= 256 and vector_bits >= 512 else 2


# What the softmax of a query remembers: see `soften`. A cache line, so that vectors behind it are aligned.
STATE = 16


def scratch_size(queries: int, vectors: int) -> int:
    """Numbers that a task writes on the way."""
    return queries * (KEYS + STATE + 16 * vectors)


@kernel
def append_row(
    k: Pointer[f32], v: Pointer[f32], chunk: Pointer[u8], slot: i64, head_dim: i64, padded: i64,
    *, W: type[Value], QUANTIZED: bool,
) -> None:  # fmt: skip
    """Write one position's key and value [head_dim] into its chunk."""
    keys = cast(chunk, W)
    column = keys + slot // 16 * 16 * head_dim + slot % 16
    row = keys + KEYS * head_dim + slot * padded
    if QUANTIZED:
        scales = cast(keys + KEYS * (head_dim + padded), f16)
        key_scale = eight_bit_scale(k, head_dim)
        value_scale = eight_bit_scale(v, head_dim)
        scales[slot] = key_scale
        scales[KEYS + slot] = value_scale
        inverse = 1.0 / f32(key_scale) if f32(key_scale) > 0.0 else f32(0.0)
        for d in range(head_dim):
            column[d * 16] = saturate(round_even(k[d] * inverse), i8)
        inverse = 1.0 / f32(value_scale) if f32(value_scale) > 0.0 else f32(0.0)
        for d in range(head_dim):
            row[d] = saturate(round_even(v[d] * inverse), i8)
    else:
        for d in range(head_dim):
            column[d * 16] = W(k[d])
        for d in range(0, head_dim, 16):
            store(row + d, vector(W, 16)(load(v + d, f32x16, count=head_dim - d)), count=head_dim - d)


@kernel
def eight_bit_scale(x: Pointer[f32], head_dim: i64) -> f16:
    """The largest magnitude over 127; NaN where x [head_dim] holds NaN or infinity, so that results tell."""
    largest = f32x16(0.0)
    poison = f32x16(0.0)
    for d in range(0, head_dim, 16):
        part = load(x + d, f32x16, count=head_dim - d)
        largest = maximum(largest, absolute(part))
        poison = fma(part, 0.0, poison)
    return f16(reduce_max(largest) / 127.0 + reduce_add(poison))


@kernel
def append_tile(
    k: Pointer[f32], v: Pointer[f32], inside: Pointer[u8], tile: Pointer[i64], table: Pointer[i64], row_stride: i64,
    block_stride: i64, head_dim: i64, padded: i64, *, W: type[Value], QUANTIZED: bool,
) -> None:  # fmt: skip
    """Write a tile's new keys and values of one head; pointers stand at the head, `inside` at its chunk in block 0."""
    for i in range(tile[ROWS]):
        position = tile[POSITION] + i
        chunk = inside + table[tile[TABLE] + position // KEYS] * block_stride
        source = (tile[ROW] + i) * row_stride
        append_row(k + source, v + source, chunk, position % KEYS, head_dim, padded, W=W, QUANTIZED=QUANTIZED)


@kernel
def append(
    k: Pointer[f32], v: Pointer[f32], memory: Pointer[u8], tiles: Pointer[i64], table: Pointer[i64], row_stride: i64,
    n_tiles: i64, layer_offset: i64, block_stride: i64, chunk_stride: i64, head_dim: i64, padded: i64,
    begin: i64, end: i64, *, W: type[Value], QUANTIZED: bool,
) -> None:  # fmt: skip
    """Write the tiles' new keys and values;  k, v: [rows, heads, head_dim]; strides of memory in bytes.

    A task is a tile of one head.
    """
    for task in range(begin, end):
        head = task // n_tiles
        append_tile(
            k + head * head_dim, v + head * head_dim, memory + layer_offset + head * chunk_stride,
            tiles + task % n_tiles * TILE, table, row_stride, block_stride, head_dim, padded, W=W, QUANTIZED=QUANTIZED,
        )  # fmt: skip


@kernel
def score(
    q: Pointer[f32], row_stride: i64, rows: i64, chunk: Pointer[u8], scales: Pointer[f16], scores: Pointer[f32],
    position: i64, head_dim: i64, scale: f32, ahead: Pointer[u8],
    *, QUERIES: int, W: type[Value], QUANTIZED: bool, APPEND: bool,
) -> None:  # fmt: skip
    """scores[i, key] = scale q[i] . key for a block of KEYS positions, -infinity where query i does not look.

    scores: [QUERIES, KEYS]; rows: how many of the queries there are; position: of the first one, within the block.
    ahead: the chunk to be read next, which is asked for on the way where APPEND says that tiles share none.
    """
    column = cast(chunk, W)
    STEP = KEYS * byte_size(W)
    sums = [[f32x16(0.0) for j in static_range(KEYS // 16)] for i in static_range(QUERIES)]
    for d in range(head_dim):
        if APPEND:
            for line in static_range(0, STEP, LINE):
                prefetch(ahead + (d * STEP + line))
        for j in static_range(KEYS // 16):
            key = f32x16(load(column + (j * head_dim + d) * 16, vector(W, 16)))
            for i in static_range(QUERIES):
                sums[i][j] = fma(key, q[min(i, rows - 1) * row_stride + d], sums[i][j])
    for i in static_range(QUERIES):
        for j in static_range(KEYS // 16):
            seen = lane_numbers(i32x16) + 16 * j <= i32(position + i)
            total = sums[i][j]
            if QUANTIZED:
                total = total * f32x16(load(scales + 16 * j, f16x16))
            store(scores + (i * KEYS + 16 * j), select(seen, total * scale, LOWEST))


@kernel
def soften(weights: Pointer[f32], state: Pointer[f32], scales: Pointer[f16], *, QUANTIZED: bool) -> None:
    """A block's scores [KEYS] to weights that are relative to the highest score so far.

    state: that score, the sum of weights, and by how much what was summed before must shrink.
    """
    top = f32x16(LOWEST)
    for j in static_range(0, KEYS, 16):
        top = maximum(top, load(weights + j, f32x16))
    newest = maximum(state[0], reduce_max(top))
    amount = f32x16(0.0)
    for j in static_range(0, KEYS, 16):
        power = exp(load(weights + j, f32x16) - newest)
        amount = amount + power
        if QUANTIZED:  # the values' scales, which the sum of weights is without
            power = power * f32x16(load(scales + KEYS + j, f16x16))
        store(weights + j, power)
    shrink = f32(1.0)
    if newest > state[0]:  # what exp(0) is
        shrink = exp(state[0] - newest)
    state[0] = newest
    state[1] = fma(state[1], shrink, reduce_add(amount))
    state[2] = shrink


@kernel
def mix(
    weights: Pointer[f32], states: Pointer[f32], mixed: Pointer[f32], values: Pointer[u8], position: i64, rows: i64,
    ahead: Pointer[u8], *, VECTORS: int, QUERIES: int, W: type[Value], APPEND: bool,
) -> None:  # fmt: skip
    """mixed[i] = mixed[i] * shrink[i] + weights[i] @ values over a block;  weights: [QUERIES, KEYS].

    ahead: the values to be read next, as in `score`.
    """
    row = cast(values, W)
    STEP = 16 * VECTORS * byte_size(W)
    total = [
        [load(mixed + (i * VECTORS + d) * 16, f32x16) * states[i * STATE + 2] for d in static_range(VECTORS)]
        for i in static_range(QUERIES)
    ]
    # First the positions that all queries see, then one by one those that only later queries do: a weight of zero would
    # not keep a position out, for 0 * NaN is NaN.
    for key in range(min(position + 1, KEYS)):
        if APPEND:
            for line in static_range(0, STEP, LINE):
                prefetch(ahead + (key * STEP + line))
        for d in static_range(VECTORS):
            x = f32x16(load(row + key * (16 * VECTORS) + 16 * d, vector(W, 16)))
            for i in static_range(QUERIES):
                total[i][d] = fma(x, weights[i * KEYS + key], total[i][d])
    for LATER in static_range(1, QUERIES):
        key = position + LATER
        if key >= 0 and key < KEYS and rows > LATER:
            for d in static_range(VECTORS):
                x = f32x16(load(row + key * (16 * VECTORS) + 16 * d, vector(W, 16)))
                for i in static_range(LATER, QUERIES):
                    total[i][d] = fma(x, weights[i * KEYS + key], total[i][d])
    for i in static_range(QUERIES):
        for d in static_range(VECTORS):
            store(mixed + (i * VECTORS + d) * 16, total[i][d])


@kernel
def attention(
    q: Pointer[f32], k: Pointer[f32], v: Pointer[f32], memory: Pointer[u8], out: Pointer[f32], scratch: Pointer[f32],
    tiles: Pointer[i64], table: Pointer[i64], row_stride: i64, out_stride: i64, n_tiles: i64, layer_offset: i64,
    block_stride: i64, chunk_stride: i64, head_dim: i64, scale: f32, begin: i64, end: i64,
    *, VECTORS: int, QUERIES: int, W: type[Value], QUANTIZED: bool, APPEND: bool,
) -> None:  # fmt: skip
    """out[r, h] = softmax(scale q[r, h] . keys[h, : position of r + 1]) @ values[h];  q, out: [rows, heads, head_dim].

    VECTORS: of 16 lanes, that a padded head has. A task is a tile of one head, of at most QUERIES rows; scratch:
    [tasks][scratch_size]. APPEND: first write the tile's own k and v, which is enough where every sequence has but one
    tile. Strides of memory in bytes.
    """
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
        weights = scratch + task * (QUERIES * (KEYS + STATE + 16 * VECTORS))
        states = weights + QUERIES * KEYS
        mixed = states + QUERIES * STATE
        for i in static_range(QUERIES):
            states[i * STATE] = f32(LOWEST)
            states[i * STATE + 1] = f32(0.0)
            for d in static_range(VECTORS):
                store(mixed + (i * VECTORS + d) * 16, f32x16(0.0))
        for block in range(0, tile[POSITION] + rows, KEYS):
            position = tile[POSITION] - block
            chunk = inside + table[tile[TABLE] + block // KEYS] * block_stride
            # The next block's chunk; behind the last block the next head's, which is likely the next task.
            more = block + KEYS < tile[POSITION] + rows
            later = block // KEYS + 1 if more else i64(0)
            ahead = inside + (table[tile[TABLE] + later] * block_stride + (i64(0) if more else chunk_stride))
            values = cast(chunk, W) + KEYS * head_dim
            scales = cast(values + KEYS * (16 * VECTORS), f16)
            score(
                q + tile[ROW] * row_stride + at, row_stride, rows, chunk, scales, weights, position, head_dim, scale,
                ahead, QUERIES=QUERIES, W=W, QUANTIZED=QUANTIZED, APPEND=APPEND,
            )  # fmt: skip
            for i in static_range(QUERIES):
                soften(weights + i * KEYS, states + i * STATE, scales, QUANTIZED=QUANTIZED)
            mix(
                weights, states, mixed, cast(values, u8), position, rows, cast(cast(ahead, W) + KEYS * head_dim, u8),
                VECTORS=VECTORS, QUERIES=QUERIES, W=W, APPEND=APPEND,
            )  # fmt: skip
        for i in range(rows):
            for d in static_range(VECTORS):
                target = out + (tile[ROW] + i) * out_stride + at + 16 * d
                mean = load(mixed + (i * VECTORS + d) * 16, f32x16) / states[i * STATE + 1]
                store(target, mean, count=head_dim - 16 * d)
