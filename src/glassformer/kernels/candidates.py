"""The tokens that may be drawn, by their logits alone: the k greatest, and those that a filter could leave."""

from glassformer.kernels.selection import LOWEST, find_threshold, keep, key_of, value_of
from glassformer.simd import (
    Pointer,
    any_of,
    f32,
    f32x16,
    f32xN,
    f64,
    f64xN,
    i32,
    i32x16,
    i64,
    kernel,
    lane_numbers,
    load,
    log,
    mask_bits,
    maximum,
    popcount,
    select,
    static_range,
    store,
)  # fmt: skip

NEVER = -float("inf")
GROUP = 512  # logits of which the greatest in each of 16 lanes is noted


@kernel
def load_end(x: Pointer[f32], count: i64) -> f32x16:
    """Fewer than 16 numbers, and minus infinity behind them."""
    return select(lane_numbers(i32x16) < i32(count), load(x, f32x16, count=count), NEVER)


@kernel
def scaled(x: f32xN, top: f32, temperature: f64, inverse: f64) -> f32xN:
    """(x - top) / temperature, computed in f64 and rounded to f32; -0 becomes 0.

    A product with the reciprocal is off by less than 2^-50; only where that could show in f32 is there a division.
    """
    shifted = f64xN(x) - f64(top)
    product = shifted * inverse
    low, high = f32xN(product * (1.0 + 2.0**-50)), f32xN(product * (1.0 - 2.0**-50))
    if any_of(low != high):
        low = f32xN(shifted / temperature)
    return low + 0.0


@kernel
def scale(x: Pointer[f32], count: i64, top: f32, temperature: f64, values: Pointer[f32]) -> None:
    """values = x over the temperature, minus infinity behind the last;  x: [count], may be `values` itself."""
    inverse = 1.0 / temperature
    whole = count // 16 * 16
    if temperature == 1.0:
        for i in range(0, whole, 16):
            store(values + i, load(x + i, f32x16) + 0.0)
        store(values + whole, load_end(x + whole, count - whole) + 0.0)
    else:
        for i in range(0, whole, 16):
            store(values + i, scaled(load(x + i, f32x16), top, temperature, inverse))
        store(values + whole, scaled(load_end(x + whole, count - whole), top, temperature, inverse))
    store(values + whole + 16, f32x16(NEVER))


@kernel
def note_summits(logits: Pointer[f32], size: i64, summits: Pointer[f32]) -> i64:
    """The maxima of each of 16 lanes of every GROUP of logits [size]; how many there are."""
    count = i64(0)
    whole = size // 16 * 16
    for start in range(0, size, GROUP):
        best = [f32x16(NEVER) for c in static_range(2)]
        end = min(start + GROUP, whole)
        for i in range(start, end // 32 * 32, 32):
            for c in static_range(2):
                best[c] = maximum(load(logits + i + 16 * c, f32x16), best[c])
        for i in range(max(start, end // 32 * 32), end, 16):
            best[0] = maximum(load(logits + i, f32x16), best[0])
        store(summits + count, maximum(best[0], best[1]))
        count += 16
    store(summits + count, f32x16(NEVER))
    return count


@kernel
def lowest_as_great(bound: f32, top: f32, temperature: f64) -> f32:
    """The least float that is as great as `bound` once it is divided by the temperature and rounded."""
    inverse = 1.0 / temperature
    goal = scaled(bound, top, temperature, inverse)
    low, high = key_of(LOWEST) - 1, key_of(bound)
    while high - low > 1:
        middle = low + ((high - low) >> 1)
        if scaled(value_of(middle), top, temperature, inverse) >= goal:
            high = middle
        else:
            low = middle
    return value_of(high)


@kernel
def least_logit(top: f32, temperature: f64, min_p: f64) -> f32:
    """A logit below which no token is `min_p` times as probable as that of `top`, whatever is rounded on the way."""
    distance = temperature * (f64(log(f32(min_p))) * -1.001 + 1e-6)
    bound = f64(top) - distance
    bound = bound - abs(bound) * 2.0**-22
    return f32(max(bound, f64(LOWEST)))


@kernel
def reaching(logits: Pointer[f32], size: i64, bound: f32) -> i64:
    """How many of logits [size] are at least a bound; those behind the last whole vector count all."""
    whole = size // 16 * 16
    count = size - whole
    for i in range(0, whole, 16):
        count += i64(popcount(mask_bits(load(logits + i, f32x16) >= bound)))
    return count


@kernel
def keep_from(
    logits: Pointer[f32], size: i64, bound: f32, values: Pointer[f32], ids: Pointer[i32]
) -> i64:  # fmt: skip
    """Those of logits [size] that are at least a bound into `values`, and their ids; how many."""
    whole = size // 16 * 16
    count = keep(logits, logits, values, ids, whole, value_of(key_of(bound) - 1), 0, 0)
    for i in range(whole, size):
        if logits[i] >= bound:
            values[count] = logits[i]
            ids[count] = i32(i)
            count += 1
    return count


@kernel
def keep_top_k(
    logits: Pointer[f32], size: i64, k: i64, top: f32, temperature: f64, values: Pointer[f32], ids: Pointer[i32],
    spare: Pointer[f32], near: Pointer[f32], found: Pointer[i64],
) -> i64:  # fmt: skip
    """The k greatest of logits [size] over the temperature, equal ones by id, into `values` and `ids`; how many.

    `spare` takes maxima of parts of the logits. k values at least reach the k-th greatest of them, and what is below
    it is dropped at once.
    """
    bound = f32(LOWEST)
    parts = note_summits(logits, size, spare)
    if k <= parts:
        bound = value_of(find_threshold(spare, spare, parts, k, LOWEST, near, near, found, WEIGHED=False))
        if temperature != 1.0:
            bound = lowest_as_great(bound, top, temperature)
    count = keep_from(logits, size, bound, values, ids)
    scale(values, count, top, temperature, values)
    if count <= k:
        return count
    least = find_threshold(values, values, count, k, LOWEST, near, near, found, WEIGHED=False)
    return keep(values, values, values, ids, count, value_of(least), k - found[1], 1)


@kernel
def leading(
    logits: Pointer[f32], size: i64, k: i64, values: Pointer[f32], near: Pointer[f32], spare: Pointer[f32],
    ids: Pointer[i32], found: Pointer[i64],
) -> i64:  # fmt: skip
    """Write the ids of the k greatest logits [size], equal ones by id, in ascending order; how many there are."""
    return keep_top_k(logits, size, k, 0.0, 1.0, values, ids, spare, near, found)
