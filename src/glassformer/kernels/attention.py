"""Causal attention over a cache of keys and values, with the softmax computed on the way (Milakov & Gimelshein, 2018).

Keys lie in blocks of 16 positions, [heads][blocks][head_dim][16], so that a vector holds the scores of 16 positions;
values as [heads][capacity][padded head_dim]. The blocks stand at fixed positions and are taken in one order, so that
neither chunks of the prompt nor the cache change a bit.
"""

from glassformer.simd import (
    Pointer,
    exp,
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
    reduce_add,
    reduce_max,
    select,
    static_range,
    store,
)  # fmt: skip

KEYS = 64  # positions taken at a time
LOWEST = -float("inf")


def query_tile(tokens: int, vector_bits: int) -> int:
    """Queries that a task takes together: more of them share what is read, as far as registers hold their sums."""
    if tokens == 1:
        return 1
    return 4 if tokens >= 256 and vector_bits >= 512 else 2


@kernel
def append(
    k: Pointer[f32], v: Pointer[f32], keys: Pointer[f32], values: Pointer[f32], row_stride: i64, tokens: i64,
    length: Pointer[i64], capacity: i64, head_dim: i64, padded: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """Write new keys and values behind the `length[0]` positions that the cache holds;  k, v: [tokens, heads,
    head_dim].

    A task is a head.
    """
    past = length[0]
    for head in range(begin, end):
        for t in range(tokens):
            position = past + t
            source = t * row_stride + head * head_dim
            column = keys + (head * capacity + position // 16 * 16) * head_dim + position % 16
            row = values + (head * capacity + position) * padded
            for d in range(head_dim):
                column[d * 16] = k[source + d]
                row[d] = v[source + d]


@kernel
def score(
    q: Pointer[f32], row_stride: i64, rows: i64, column: Pointer[f32], scores: Pointer[f32], position: i64,
    head_dim: i64, scale: f32, *, QUERIES: int,
) -> None:  # fmt: skip
    """scores[i, key] = scale q[i] . key for a block of KEYS positions, -infinity where query i does not look.

    scores: [QUERIES, KEYS]; rows: how many of the queries there are; position: of the first one, within the block.
    """
    sums = [[f32x16(0.0) for j in static_range(KEYS // 16)] for i in static_range(QUERIES)]
    for d in range(head_dim):
        for i in static_range(QUERIES):
            x = q[min(i, rows - 1) * row_stride + d]
            for j in static_range(KEYS // 16):
                sums[i][j] = fma(load(column + (j * head_dim + d) * 16, f32x16), x, sums[i][j])
    for i in static_range(QUERIES):
        for j in static_range(KEYS // 16):
            seen = lane_numbers(i32x16) + 16 * j <= i32(position + i)
            store(scores + (i * KEYS + 16 * j), select(seen, sums[i][j] * scale, LOWEST))


@kernel
def attention(
    q: Pointer[f32], keys: Pointer[f32], values: Pointer[f32], out: Pointer[f32], scratch: Pointer[f32],
    row_stride: i64, out_stride: i64, tokens: i64, length: Pointer[i64], capacity: i64, head_dim: i64, scale: f32,
    begin: i64, end: i64, *, VECTORS: int, QUERIES: int,
) -> None:  # fmt: skip
    """out[t, h] = softmax(scale q[t, h] . keys[h, : length[0] + t + 1]) @ values[h];  q, out: [tokens, heads,
    head_dim].

    VECTORS: of 16 lanes, that a padded head has. A task is QUERIES rows of one head; scratch: [tasks, QUERIES, KEYS].
    """
    tiles = (tokens + QUERIES - 1) // QUERIES
    for task in range(begin, end):
        head = task // tiles
        first = task % tiles * QUERIES
        rows = min(tokens - first, QUERIES)
        source = q + first * row_stride + head * head_dim
        weights = scratch + task * (KEYS * QUERIES)
        highest = [f32(LOWEST) for i in static_range(QUERIES)]
        total = [f32(0.0) for i in static_range(QUERIES)]
        mixed = [[f32x16(0.0) for d in static_range(VECTORS)] for i in static_range(QUERIES)]
        for block in range(0, length[0] + first + rows, KEYS):
            position = length[0] + first - block
            column = keys + (head * capacity + block) * head_dim
            score(source, row_stride, rows, column, weights, position, head_dim, scale, QUERIES=QUERIES)
            for i in static_range(QUERIES):
                top = f32x16(LOWEST)
                for j in static_range(KEYS // 16):
                    top = maximum(top, load(weights + (i * KEYS + 16 * j), f32x16))
                newest = maximum(highest[i], reduce_max(top))
                amount = f32x16(0.0)
                for j in static_range(KEYS // 16):
                    power = exp(load(weights + (i * KEYS + 16 * j), f32x16) - newest)
                    amount = amount + power
                    store(weights + (i * KEYS + 16 * j), power)
                shrink = exp(highest[i] - newest)
                highest[i] = newest
                total[i] = fma(total[i], shrink, reduce_add(amount))
                for d in static_range(VECTORS):
                    mixed[i][d] = mixed[i][d] * shrink
            row = values + (head * capacity + block) * (16 * VECTORS)
            # First the positions that all queries see, then one by one those that only later queries do: a weight of
            # zero would not keep a position out, for 0 * NaN is NaN.
            for key in range(min(position + 1, KEYS)):
                for d in static_range(VECTORS):
                    v = load(row + key * (16 * VECTORS) + 16 * d, f32x16)
                    for i in static_range(QUERIES):
                        mixed[i][d] = fma(v, weights[i * KEYS + key], mixed[i][d])
            for LATER in static_range(1, QUERIES):
                key = position + LATER
                if key >= 0 and key < KEYS and rows > LATER:
                    for d in static_range(VECTORS):
                        v = load(row + key * (16 * VECTORS) + 16 * d, f32x16)
                        for i in static_range(LATER, QUERIES):
                            mixed[i][d] = fma(v, weights[i * KEYS + key], mixed[i][d])
        for i in static_range(QUERIES):
            if i < rows:
                for d in static_range(VECTORS):
                    target = out + (first + i) * out_stride + head * head_dim + 16 * d
                    store(target, mixed[i][d] / total[i], count=head_dim - 16 * d)
