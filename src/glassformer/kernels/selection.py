"""The greatest of many numbers without sorting them: a threshold, found by bisection on the bits of floats.

Read as integers with a sign and a magnitude, the bits of floats are in the order of the floats. So 32 halvings find
the exact float at which a count, or a sum of weights, reaches its goal; once few numbers are left between the bounds,
they are moved together and the rest is not read again.

Weights are at most 1 and are counted in whole multiples of 2^-42. Sums of integers do not depend on their order: any
vector width, and a list in which the zeros were dropped, gives the same.

Arrays end in at least 16 numbers that are never chosen: minus infinity among values, 0 among weights.
"""

from glassformer.simd import (
    Pointer,
    bitcast,
    compress,
    count_trailing_zeros,
    f32,
    f32x16,
    f64,
    f64x16,
    i32,
    i32x16,
    i64,
    i64x16,
    kernel,
    lane_numbers,
    load,
    mask_bits,
    popcount,
    reduce_add,
    select,
    store,
    u16,
)  # fmt: skip

UNIT_BITS = 42  # up to 2^21 weights of at most 1 add up within 63 bits
ROUNDING = 1.5 * 2.0 ** (52 - UNIT_BITS)  # adding it to a weight in f64 rounds it to whole units, in the low bits
ROUNDING_BITS = 0x4098000000000000
LOWEST = -3.4028234663852886e38  # the least finite f32; minus infinity is never chosen
INFINITY_KEY = 0x7F800000
FEW = 256


@kernel
def key_of(x: f32) -> i64:
    """An integer in the order of floats, 0 for both zeros."""
    bits = i64(bitcast(x, i32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


@kernel
def value_of(key: i64) -> f32:
    """The float of an integer."""
    return bitcast(i32(key), f32) if key >= 0 else -bitcast(i32(-key), f32)


@kernel
def raised(weights: f64x16) -> i64x16:
    """Numbers from -1 to 1 in whole units, to the nearest, ties to even, each ROUNDING_BITS too much; sums may wrap."""
    return bitcast(weights + ROUNDING, i64x16)


@kernel
def vectors(count: i64) -> i64:
    """How many vectors of 16 hold so many numbers."""
    return (count + 15) // 16


@kernel
def unit(weight: f32) -> i64:
    """One weight in whole units."""
    return bitcast(f64(weight) + ROUNDING, i64) - ROUNDING_BITS


@kernel
def units_of(total: i64x16, count: i64) -> i64:
    """A sum of `raised` vectors over so many numbers, without what is too much."""
    return units_among(total, vectors(count) * 16)


@kernel
def units_among(total: i64x16, number: i64) -> i64:
    """The same of a sum in which so many numbers are, in whatever lanes."""
    return reduce_add(total) - number * ROUNDING_BITS


@kernel
def total_of(weights: Pointer[f32], count: i64) -> i64:
    """Sum of weights in units."""
    total = i64x16(0)
    for i in range(0, count, 16):
        total = total + raised(f64x16(load(weights + i, f32x16)))
    return units_of(total, count)


@kernel
def gather_near(
    values: Pointer[f32], weights: Pointer[f32], count: i64, low: f32, high: f32, near: Pointer[f32],
    near_weights: Pointer[f32], *, WEIGHED: bool,
) -> i64:  # fmt: skip
    """Copy the values in [low, high) and their weights, in order; how many. Source and goal may be the same."""
    taken = i64(0)
    for i in range(0, count, 16):
        v = load(values + i, f32x16)
        inside = (v >= low) & (v < high)
        bits = mask_bits(inside)
        if bits != 0:
            if WEIGHED:
                store(near_weights + taken, compress(load(weights + i, f32x16), inside))
            store(near + taken, compress(v, inside))
            taken += i64(popcount(bits))
    store(near + taken, f32x16(-float("inf")))
    if WEIGHED:
        store(near_weights + taken, f32x16(0.0))
    return taken


@kernel
def measure(
    values: Pointer[f32], weights: Pointer[f32], count: i64, least: f32, found: Pointer[i64], *, WEIGHED: bool
) -> i64:
    """Weight in units (WEIGHED), or number, of values >= least; found[0] is their number."""
    number = i64(0)
    total = i64x16(0)
    for i in range(0, count, 16):
        chosen = load(values + i, f32x16) >= least
        number += i64(popcount(mask_bits(chosen)))
        if WEIGHED:
            total = total + select(chosen, raised(f64x16(load(weights + i, f32x16))), 0)
    found[0] = number
    if WEIGHED:
        number = units_among(total, number)
    return number


@kernel
def bisect(
    values: Pointer[f32], weights: Pointer[f32], size: i64, goal: i64, low: i64, high: i64, near: Pointer[f32],
    near_weights: Pointer[f32], found: Pointer[i64], *, WEIGHED: bool,
) -> i64:  # fmt: skip
    """`find_threshold` between two keys: at `low` the goal is reached, at `high` it is not, because nothing is.

    found[2] becomes the weight, or number, at the threshold; on entry it is that at `low`. `near` may be `values`.
    """
    v, w, left = values, weights, size
    base = i64(0)  # of the values that are no longer looked at, all of them above
    above = i64(0)
    from_low, from_high = size, i64(0)  # how many of those looked at are >= low, >= high
    while high - low > 1:
        middle = low + ((high - low) >> 1)
        reached = base + measure(v, w, left, value_of(middle), found, WEIGHED=WEIGHED)
        if reached >= goal:
            low = middle
            found[2] = reached
            from_low = found[0]
        else:
            high = middle
            above = reached
            from_high = found[0]
        if left > FEW and (from_low - from_high) * 4 <= left:
            left = gather_near(v, w, left, value_of(low), value_of(high), near, near_weights, WEIGHED=WEIGHED)
            v, w = near, near_weights
            base = above
            from_low, from_high = left, i64(0)
    found[1] = above
    return low


@kernel
def find_threshold(
    values: Pointer[f32], size: i64, goal: i64, near: Pointer[f32], found: Pointer[i64]
) -> i64:  # fmt: skip
    """Key of the greatest float t at which `goal` values are >= t; that of LOWEST if all together are fewer.

    found[1] is the number of values above t. `near` is scratch memory of as many numbers, or `values`.
    """
    return bisect(
        values, values, size, goal, key_of(LOWEST), i64(INFINITY_KEY), near, near, found, WEIGHED=False
    )  # fmt: skip


@kernel
def end_of_first(bits: u16, number: i64) -> i32:
    """The lane behind the first so many of a mask's true lanes; behind all lanes if there are no more of them."""
    end = i32(16)
    if i64(popcount(bits)) > number:
        end = i32(0)
        for _ in range(number):
            end = i32(count_trailing_zeros(bits)) + 1
            bits = bits & (bits - 1)
    return end


@kernel
def keep(
    values: Pointer[f32], source: Pointer[f32], kept: Pointer[f32], ids: Pointer[i32], count: i64, least: f32,
    spare: i64, numbered: i64,
) -> i64:  # fmt: skip
    """Move what is chosen of `source` and `ids` to the front of `kept` and `ids`, in order; how many.

    Chosen is where values > least, and the first `spare` places where values = least. `source` may be `kept`. If
    `numbered` is 0, `ids` is empty so far, and the place is the id.
    """
    taken = i64(0)
    for i in range(0, count, 16):
        v = load(values + i, f32x16)
        chosen = v > least
        ties = mask_bits(v == least)
        if spare != 0 and ties != 0:
            chosen = chosen | ((v == least) & (lane_numbers(i32x16) < end_of_first(ties, spare)))
            spare = max(spare - i64(popcount(ties)), 0)
        bits = mask_bits(chosen)
        if bits != 0:
            numbers = load(ids + i, i32x16) if numbered != 0 else lane_numbers(i32x16) + i32(i)
            moved = load(source + i, f32x16)
            store(ids + taken, compress(numbers, chosen))
            store(kept + taken, compress(moved, chosen))
            taken += i64(popcount(bits))
    store(kept + taken, f32x16(-float("inf")))
    return taken
