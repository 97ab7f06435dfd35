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
def attention(
    q: Pointer[f32], keys: Pointer[f32], values: Pointer[f32], out: Pointer[f32], scratch: Pointer[f32],
    row_stride: i64, out_stride: i64, tokens: i64, length: Pointer[i64], capacity: i64, head_dim: i64, scale: f32,
    begin: i64, end: i64,
    *, VECTORS: int, QUERIES: int,
) -> None:  # fmt: skip
    """out[t, h] = softmax(scale q[t, h] . keys[h, : length[0] + t + 1]) @ values[h];  q, out: [tokens, heads,
    head_dim].

    VECTORS: of 16 lanes, that a padded head has. A task is QUERIES rows of one head; scratch holds KEYS * QUERIES
    numbers for each.
    """
    past = length[0]
    tiles = (tokens + QUERIES - 1) // QUERIES
    for task in range(begin, end):
        head = task // tiles
        first = task % tiles * QUERIES
        weights = scratch + task * (KEYS * QUERIES)
        highest = [f32(LOWEST) for i in static_range(QUERIES)]
        total = [f32(0.0) for i in static_range(QUERIES)]
        mixed = [[f32x16(0.0) for d in static_range(VECTORS)] for i in static_range(QUERIES)]
        last = min(first + QUERIES, tokens)
        for block in range(0, past + last, KEYS):
            scores = [[f32x16(0.0) for j in static_range(KEYS // 16)] for i in static_range(QUERIES)]
            column = keys + (head * capacity + block) * head_dim
            for d in range(head_dim):
                for i in static_range(QUERIES):
                    x = q[min(first + i, tokens - 1) * row_stride + head * head_dim + d]
                    for j in static_range(KEYS // 16):
                        scores[i][j] = fma(load(column + (j * head_dim + d) * 16, f32x16), x, scores[i][j])
            for i in static_range(QUERIES):
                seen = i32(past + first + i - block)  # the query's own position within the block
                top = f32x16(LOWEST)
                for j in static_range(KEYS // 16):
                    scores[i][j] = select(lane_numbers(i32x16) + 16 * j <= seen, scores[i][j] * scale, LOWEST)
                    top = maximum(top, scores[i][j])
                newest = maximum(highest[i], reduce_max(top))
                amount = f32x16(0.0)
                for j in static_range(KEYS // 16):
                    power = exp(scores[i][j] - newest)
                    amount = amount + power
                    store(weights + i * KEYS + 16 * j, power)
                shrink = exp(highest[i] - newest)
                highest[i] = newest
                total[i] = fma(total[i], shrink, reduce_add(amount))
                for d in static_range(VECTORS):
                    mixed[i][d] = mixed[i][d] * shrink
            row = values + (head * capacity + block) * (16 * VECTORS)
            # Positions that all queries see; then, one by one, those that only the later ones do. A weight of zero
            # would not keep a position out: 0 * NaN is NaN.
            for key in range(min(past + first + 1 - block, KEYS)):
                for d in static_range(VECTORS):
                    v = load(row + key * (16 * VECTORS) + 16 * d, f32x16)
                    for i in static_range(QUERIES):
                        mixed[i][d] = fma(v, weights[i * KEYS + key], mixed[i][d])
            for LATER in static_range(1, QUERIES):
                key = past + first + LATER - block
                if 0 <= key < KEYS and first + LATER < tokens:
                    for d in static_range(VECTORS):
                        v = load(row + key * (16 * VECTORS) + 16 * d, f32x16)
                        for i in static_range(LATER, QUERIES):
                            mixed[i][d] = fma(v, weights[i * KEYS + key], mixed[i][d])
        for i in static_range(QUERIES):
            if first + i < tokens:
                for d in static_range(VECTORS):
                    target = out + (first + i) * out_stride + head * head_dim + 16 * d
                    store(target, mixed[i][d] / total[i], count=head_dim - 16 * d)
