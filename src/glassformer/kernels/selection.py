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
    count_trailing_zeros,
    f32,
    f32x16,
    f64,
    f64x16,
    i32,
    i64,
    i64x16,
    kernel,
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
MANY, SAMPLE = 8192, 16  # numbers of which a sample is taken, and one vector in so many
MARGIN = 1 << 20  # around the key that the sample tells: an eighth of the numbers of one exponent


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
def units(weights: f32x16) -> i64x16:
    """Weights from 0 to 1 in whole units, to the nearest, ties to even."""
    return bitcast(f64x16(weights) + ROUNDING, i64x16) - ROUNDING_BITS


@kernel
def raised(weights: f32x16) -> i64x16:
    """Weights in whole units, each ROUNDING_BITS too much: sums wrap, and what is too much is taken off once."""
    return bitcast(f64x16(weights) + ROUNDING, i64x16)


@kernel
def vectors(count: i64) -> i64:
    """How many vectors of 16 hold so many numbers."""
    return (count + 15) // 16


@kernel
def unit(weight: f32) -> i64:
    """One weight in whole units."""
    return bitcast(f64(weight) + ROUNDING, i64) - ROUNDING_BITS


@kernel
def total_of(weights: Pointer[f32], count: i64) -> i64:
    """Sum of weights in units."""
    total = i64x16(0)
    for i in range(0, count, 16):
        total = total + raised(load(weights + i, f32x16))
    return reduce_add(total) - vectors(count) * 16 * ROUNDING_BITS


@kernel
def gather_near(
    values: Pointer[f32], weights: Pointer[f32], count: i64, low: f32, high: f32, near: Pointer[f32],
    near_weights: Pointer[f32], *, WEIGHED: bool,
) -> i64:  # fmt: skip
    """Copy the values in [low, high) and their weights, in order; how many. Source and goal may be the same."""
    taken = i64(0)
    for i in range(0, count, 16):
        v = load(values + i, f32x16)
        bits = mask_bits((v >= low) & (v < high))
        while bits != 0:
            place = i + i64(count_trailing_zeros(bits))
            bits = bits & (bits - 1)
            near[taken] = values[place]
            if WEIGHED:
                near_weights[taken] = weights[place]
            taken += 1
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
            total = total + raised(select(chosen, load(weights + i, f32x16), 0.0))
    found[0] = number
    if WEIGHED:
        number = reduce_add(total) - vectors(count) * 16 * ROUNDING_BITS
    return number


@kernel
def bisect(
    values: Pointer[f32], weights: Pointer[f32], size: i64, goal: i64, low: i64, high: i64, near: Pointer[f32],
    near_weights: Pointer[f32], found: Pointer[i64], *, WEIGHED: bool,
) -> i64:  # fmt: skip
    """`find_threshold` between two keys: at `low` the goal is reached, at `high` it is not.

    On entry found[1] is the weight, or number, at `high`. `near` may be `values`.
    """
    v, w, left = values, weights, size
    base = i64(0)  # of the values that are no longer looked at, all of them above
    above = found[1]
    from_low, from_high = size, i64(0)  # how many of those looked at are >= low, >= high
    while high - low > 1:
        middle = low + ((high - low) >> 1)
        reached = base + measure(v, w, left, value_of(middle), found, WEIGHED=WEIGHED)
        if reached >= goal:
            low = middle
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
def take_sample(
    values: Pointer[f32], weights: Pointer[f32], size: i64, near: Pointer[f32], near_weights: Pointer[f32]
) -> i64:
    """Copy one vector in SAMPLE; how many numbers."""
    taken = i64(0)
    for i in range(0, size, 16 * SAMPLE):
        store(near + taken, load(values + i, f32x16))
        store(near_weights + taken, load(weights + i, f32x16))
        taken += 16
    store(near + taken, f32x16(-float("inf")))
    store(near_weights + taken, f32x16(0.0))
    return taken


@kernel
def threshold_of_many(
    values: Pointer[f32], weights: Pointer[f32], size: i64, goal: i64, low: i64, near: Pointer[f32],
    near_weights: Pointer[f32], found: Pointer[i64],
) -> i64:  # fmt: skip
    """`find_threshold` of so many numbers that a sample is worth its while: it says about where the threshold is.

    All numbers are read but to confirm that, and again where the sample was wrong.
    """
    high = i64(INFINITY_KEY)
    above = i64(0)
    taken = take_sample(values, weights, size, near, near_weights)
    few = measure(near, near_weights, taken, value_of(low), found, WEIGHED=False) * 4 <= taken
    if not few:
        found[1] = 0
        about = bisect(
            near, near_weights, taken, goal // SAMPLE, low, high, near, near_weights, found, WEIGHED=True
        )  # fmt: skip
        for side in range(2):
            key = about - MARGIN if side == 0 else about + MARGIN
            if key > low and key < high:
                reached = measure(values, weights, size, value_of(key), found, WEIGHED=True)
                if reached >= goal:
                    low = key
                else:
                    high = key
                    above = reached
        few = high - low <= 2 * MARGIN
    if few:
        size = gather_near(values, weights, size, value_of(low), value_of(high), near, near_weights, WEIGHED=True)
        goal -= above
        values, weights = near, near_weights
    found[1] = i64(0) if few else above
    low = bisect(values, weights, size, goal, low, high, near, near_weights, found, WEIGHED=True)
    found[1] += above if few else i64(0)
    return low


@kernel
def find_threshold(
    values: Pointer[f32], weights: Pointer[f32], size: i64, goal: i64, bound: f32, near: Pointer[f32],
    near_weights: Pointer[f32], found: Pointer[i64], *, WEIGHED: bool,
) -> i64:  # fmt: skip
    """Key of the greatest float t >= `bound` at which the values >= t weigh, or number, at least `goal`.

    `bound`: a float at which they do, or LOWEST, whose key it is if all together do not. found[1] is the weight, or
    number, of the values above t. `near` and `near_weights` are scratch memory of as many numbers.
    """
    low = key_of(bound)
    if WEIGHED and size >= MANY:
        low = threshold_of_many(values, weights, size, goal, low, near, near_weights, found)
    else:
        found[1] = 0
        low = bisect(values, weights, size, goal, low, i64(INFINITY_KEY), near, near_weights, found, WEIGHED=WEIGHED)
    return low


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
        greater = mask_bits(v > least)
        equal = u16(0) if spare == 0 else mask_bits(v == least)
        bits = greater | equal
        while bits != 0:
            lane = count_trailing_zeros(bits)
            place = i + i64(lane)
            bits = bits & (bits - 1)
            if ((greater >> lane) & 1) == 0:
                if spare == 0:
                    continue
                spare -= 1
            kept[taken] = source[place]
            ids[taken] = ids[place] if numbered != 0 else i32(place)
            taken += 1
    store(kept + taken, f32x16(-float("inf")))
    return taken


@kernel
def keep_weights(values: Pointer[f32], weights: Pointer[f32], count: i64, least: f32, spare: i64) -> i64:
    """Set to 0 the weights that are not chosen; what is left of their sum, in units.

    Chosen is where values > least, and the first `spare` places where values = least. `values` may be `weights`.
    """
    total = i64x16(0)
    for i in range(0, count, 16):
        v = load(values + i, f32x16)
        w = load(weights + i, f32x16)
        equal = mask_bits(v == least)
        if equal == 0 or spare == 0:
            w = select(v > least, w, 0.0)
            store(weights + i, w)
        else:
            for lane in range(16):
                if values[i + lane] == least:
                    spare -= 1
                if values[i + lane] < least or (values[i + lane] == least and spare < 0):
                    weights[i + lane] = 0.0
            if spare < 0:
                spare = i64(0)
            w = load(weights + i, f32x16)
        total = total + raised(w)
    return reduce_add(total) - vectors(count) * 16 * ROUNDING_BITS
