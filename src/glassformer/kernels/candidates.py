"""The tokens that may be drawn, by their logits alone: the k greatest, and those that a filter could leave."""

from glassformer.kernels.selection import LOWEST, find_threshold, keep, key_of, value_of
from glassformer.kernels.softmax import PART, load_end, load_some
from glassformer.simd import (
    Pointer,
    f32,
    f32x16,
    f32xN,
    i32,
    i64,
    kernel,
    load,
    mask_bits,
    maximum,
    reduce_max,
    static_range,
    store,
)  # fmt: skip

NEVER = -float("inf")
GROUP = 512  # logits of which the greatest in each of 16 lanes is noted
SUMMITS = PART // GROUP * 16  # that are noted of a part


@kernel
def parts_of(size: i64) -> i64:
    """How many parts so many tokens have."""
    return (size + PART - 1) // PART


@kernel
def scaled(x: f32xN, top: f32, inverse: f32) -> f32xN:
    """How far x is below the greatest logit, times the inverse of the temperature; -0 becomes 0."""
    return (x - top) * inverse + 0.0


@kernel
def scale(values: Pointer[f32], count: i64, top: f32, inverse: f32) -> None:
    """Scale values in place, minus infinity behind the last;  values: [count]."""
    whole = count // 16 * 16
    for i in range(0, whole, 16):
        store(values + i, scaled(load(values + i, f32x16), top, inverse))
    store(values + whole, scaled(load_end(values + whole, count - whole), top, inverse))
    store(values + whole + 16, f32x16(NEVER))


@kernel
def note_summits(x: Pointer[f32], count: i64, summits: Pointer[f32]) -> f32:
    """The maxima of each of 16 lanes of every GROUP of a part x [count]; returned is the greatest, NaN if any is NaN.

    summits: [SUMMITS], minus infinity where the part has no numbers.
    """
    highest = f32x16(NEVER)
    poison = highest != highest
    for group in range(SUMMITS // 16):
        best = [f32x16(NEVER) for c in static_range(2)]
        start = min(i64(group * GROUP), count)
        end = min(start + GROUP, count)
        whole = start + (end - start) // 32 * 32
        for i in range(start, whole, 32):
            for c in static_range(2):
                v = load(x + i + 16 * c, f32x16)
                poison = poison | (v != v)
                best[c] = maximum(v, best[c])
        for i in range(whole, end, 16):
            v = load_some(x + i, end - i)
            poison = poison | (v != v)
            best[0] = maximum(v, best[0])
        best[0] = maximum(best[0], best[1])
        store(summits + 16 * group, best[0])
        highest = maximum(best[0], highest)
    return reduce_max(highest) if mask_bits(poison) == 0 else f32(float("nan"))


@kernel
def lowest_as_great(bound: f32, top: f32, inverse: f32) -> f32:
    """The least float that is as great as `bound` once both are scaled."""
    goal = scaled(bound, top, inverse)
    low, high = key_of(LOWEST) - 1, key_of(bound)
    while high - low > 1:
        middle = low + ((high - low) >> 1)
        if scaled(value_of(middle), top, inverse) >= goal:
            high = middle
        else:
            low = middle
    return value_of(high)


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
    logits: Pointer[f32], size: i64, k: i64, top: f32, inverse: f32, summits: Pointer[f32], values: Pointer[f32],
    ids: Pointer[i32], near: Pointer[f32], found: Pointer[i64],
) -> i64:  # fmt: skip
    """The k greatest of logits [size], scaled, equal ones by id, into `values` and `ids`; how many.

    summits: of all parts. k values at least reach the k-th greatest of them, and what is below it is dropped at once.
    """
    bound = f32(LOWEST)
    noted = parts_of(size) * SUMMITS
    if k <= noted:
        bound = lowest_as_great(value_of(find_threshold(summits, noted, k, near, found)), top, inverse)
    count = keep_from(logits, size, bound, values, ids)
    scale(values, count, top, inverse)
    if count > k:
        least = find_threshold(values, count, k, near, found)
        count = keep(values, values, values, ids, count, value_of(least), k - found[1], 1)
    return count


@kernel
def leading(
    logits: Pointer[f32], size: i64, k: i64, summits: Pointer[f32], values: Pointer[f32], near: Pointer[f32],
    ids: Pointer[i32], found: Pointer[i64],
) -> i64:  # fmt: skip
    """Write the ids of the k greatest logits [size], equal ones by id, in ascending order; how many there are."""
    for part in range(parts_of(size)):
        note_summits(logits + part * PART, min(size - part * PART, PART), summits + part * SUMMITS)
    return keep_top_k(logits, size, k, 0.0, 1.0, summits, values, ids, near, found)
