"""From logits to one token. `glassformer.generation.filters` defines in NumPy what is computed here; tests hold the two
to the same tokens.

Sums of probabilities are sums of integers (see `glassformer.kernels.selection`), so a draw does not depend on an order
of summation. Where few tokens are left after a filter, only those are read again.
"""

from glassformer.kernels.candidates import NEVER, keep_from, keep_top_k, least_logit, load_end, reaching, scale, scaled
from glassformer.kernels.selection import (
    LOWEST,
    ROUNDING_BITS,
    UNIT_BITS,
    find_threshold,
    keep_weights,
    key_of,
    raised,
    total_of,
    unit,
    units,
    value_of,
)
from glassformer.simd import (
    Pointer,
    absolute,
    bitcast,
    ceil,
    exp,
    f32,
    f32x16,
    f64,
    f64x16,
    i32,
    i64,
    i64x16,
    kernel,
    load,
    log,
    mask_bits,
    maximum,
    reduce_add,
    reduce_max,
    select,
    static_range,
    store,
    u64,
)  # fmt: skip

CHAINS = 4  # independent maxima, to hide the latency of each
NONE = -1  # no token: the logits hold NaN or plus infinity, or nothing finite
SURPRISAL_BITS = 38
SURPRISAL_ROUNDING = 1.5 * 2.0 ** (52 - SURPRISAL_BITS)
SURPRISAL_ROUNDING_BITS = 0x40D8000000000000
SPARSE = 8  # a filter that leaves less than one token in so many is applied to the logits, before anything else
BLOCK = 256  # tokens whose weight is added up before one of them is looked for
RANDOM_BITS = 53  # of a random number
HALF_WORD = 0xFFFFFFFF
DRAWN, TOP_K, CHANGED, CHOSEN, COUNTS = 0, 1, 2, 3, 4  # places among the counts of `choose`


@kernel
def peak(logits: Pointer[f32], size: i64) -> f32:
    """The greatest of [size]; NaN if any is NaN."""
    best = [f32x16(NEVER) for c in static_range(CHAINS)]
    poison = best[0] != best[0]
    whole = size // 16 * 16
    start = size // (16 * CHAINS) * (16 * CHAINS)
    for i in range(0, start, 16 * CHAINS):
        for c in static_range(CHAINS):
            v = load(logits + i + 16 * c, f32x16)
            poison = poison | (v != v)
            best[c] = maximum(v, best[c])
    for i in range(start, size, 16):
        v = load(logits + i, f32x16) if i < whole else load_end(logits + i, size - i)
        poison = poison | (v != v)
        best[0] = maximum(v, best[0])
    for c in static_range(1, CHAINS):
        best[0] = maximum(best[0], best[c])
    return reduce_max(best[0]) if mask_bits(poison) == 0 else f32(float("nan"))


@kernel
def greatest(logits: Pointer[f32], size: i64) -> i64:
    """Id of the greatest of [size], the lowest of equal ones; NONE if one is NaN or plus infinity, or none finite."""
    top = peak(logits, size)
    if not (top >= LOWEST and top <= -LOWEST):
        return NONE
    start = i64(0)
    while start + 64 <= size:
        first = (load(logits + start, f32x16) == top) | (load(logits + start + 16, f32x16) == top)
        second = (load(logits + start + 32, f32x16) == top) | (load(logits + start + 48, f32x16) == top)
        if mask_bits(first | second) != 0:
            break
        start += 64
    while logits[start] != top:
        start += 1
    return start


@kernel
def log_total(logits: Pointer[f32], size: i64, top: f32) -> f32:
    """log of the sum of e^(logits - top), by the very sums of the softmax over all;  logits: [size]."""
    total = f32x16(0.0)
    whole = size // 16 * 16
    for i in range(0, whole, 16):
        total = total + exp(load(logits + i, f32x16) - top)
    if whole < size:
        total = total + exp(load_end(logits + whole, size - whole) - top)
    return log(reduce_add(total))


@kernel
def log_probabilities(logits: Pointer[f32], size: i64, ids: Pointer[i32], count: i64, out: Pointer[f32]) -> None:
    """out[j] = log softmax(logits)[ids[j]], the very bits that the softmax over all gives;  ids, out: [count]."""
    top = peak(logits, size)
    shift = log_total(logits, size, top)
    for j in range(count):
        out[j] = logits[i64(ids[j])] - top - shift


@kernel
def weigh(values: Pointer[f32], count: i64, top: f32) -> i64:
    """values = e^(values - top), the probabilities up to a factor; their sum in units."""
    total = i64x16(0)
    for i in range(0, count, 16):
        weight = exp(load(values + i, f32x16) - top)
        store(values + i, weight)
        total = total + units(weight)
    store(values + (count + 15) // 16 * 16, f32x16(0.0))
    return reduce_add(total)


@kernel
def weigh_all(logits: Pointer[f32], size: i64, top: f32, temperature: f64, values: Pointer[f32]) -> i64:
    """values = the weights of all of logits [size] under a temperature, as `scale` and `weigh` give them; their sum."""
    total = i64x16(0)
    inverse = 1.0 / temperature
    whole = size // 16 * 16
    for i in range(0, whole, 16):
        x = load(logits + i, f32x16)
        weight = exp(x - top if temperature == 1.0 else scaled(x, top, temperature, inverse))
        store(values + i, weight)
        total = total + raised(weight)
    rest = load_end(logits + whole, size - whole)
    weight = exp(rest - top if temperature == 1.0 else scaled(rest, top, temperature, inverse))
    store(values + whole, weight)
    store(values + whole + 16, f32x16(0.0))
    return reduce_add(total + raised(weight)) - (whole + 16) * ROUNDING_BITS


@kernel
def share(total: i64, fraction: f64) -> i64:
    """The fewest units that are at least a fraction of a total; at least 1, at most all."""
    return min(max(i64(ceil(f64(total) * fraction)), 1), total)


@kernel
def negligible(rest: i64, count: i64) -> f32:
    """A weight so small that `count` of those below it do not weigh `rest` units together; 0 if there is none."""
    least = f64(rest) * 2.0**-UNIT_BITS / f64(count) * (1.0 - 2.0**-20) - 2.0 ** (-UNIT_BITS - 1)
    return f32(least) if least > 0.0 else f32(0.0)


@kernel
def distances(weights: Pointer[f32], count: i64, total: i64, out: Pointer[f32]) -> None:
    """out = -|surprisal - entropy|: the nearer to the entropy, the greater."""
    shift = log(f32(f64(total) * 2.0**-UNIT_BITS))
    terms = i64x16(0)
    for i in range(0, count, 16):
        weight = load(weights + i, f32x16)
        surprisal = shift - log(weight)
        product = select(weight > 0.0, f64x16(weight) * f64x16(surprisal), 0.0)
        terms = terms + (bitcast(product + SURPRISAL_ROUNDING, i64x16) - SURPRISAL_ROUNDING_BITS)
        store(out + i, surprisal)
    entropy = f32(f64(reduce_add(terms)) * 2.0 ** (UNIT_BITS - SURPRISAL_BITS) / f64(total))
    for i in range(0, count, 16):
        store(out + i, 0.0 - absolute(load(out + i, f32x16) - entropy))
    store(out + (count + 15) // 16 * 16, f32x16(NEVER))


@kernel
def portion(total: i64, number: i64) -> i64:
    """total * number / 2^53 rounded down, of a total below 2^63 and a number below 2^53, through words of 32 bits."""
    t0, t1 = u64(total) & HALF_WORD, u64(total) >> 32
    n0, n1 = u64(number) & HALF_WORD, u64(number) >> 32
    low = t0 * n0
    middle = t0 * n1 + t1 * n0
    carry = (low >> 32) + (middle & HALF_WORD)
    upper = t1 * n1 + (middle >> 32) + (carry >> 32)
    lower = (carry << 32) | (low & HALF_WORD)
    return i64((upper << 11) | (lower >> 53))


@kernel
def place_of(weights: Pointer[f32], count: i64, target: i64) -> i64:
    """The first place at which the running sum of weights [count], in units, exceeds a target below their sum."""
    start = i64(0)
    before = i64(0)
    while start + BLOCK < count:
        part = before + total_of(weights + start, BLOCK)
        if part > target:
            break
        before = part
        start += BLOCK
    while start + 16 < count:
        part = before + total_of(weights + start, 16)
        if part > target:
            break
        before = part
        start += 16
    while start + 1 < count:
        before += unit(weights[start])
        if before > target:
            break
        start += 1
    return start


@kernel
def draw(
    logits: Pointer[f32], size: i64, top: f32, temperature: f64, top_k: i64, top_p: f64, min_p: f64, typical_p: f64,
    number: i64, values: Pointer[f32], near: Pointer[f32], near_weights: Pointer[f32], spare: Pointer[f32],
    ids: Pointer[i32], found: Pointer[i64],
) -> i64:  # fmt: skip
    """The token that a random number of 53 bits draws from logits [size] under a temperature and four filters.

    top: the greatest logit. top_k = 0, top_p = 1, min_p = 0 and typical_p = 1 filter nothing. The rest is scratch
    memory (see `Sampler`).
    """
    chosen = 0 < top_k < size
    bound = least_logit(top, temperature, min_p) if min_p > 0.0 and top_p >= 1.0 else f32(LOWEST)
    count = size
    total = i64(0)
    if chosen:
        count = keep_top_k(logits, size, top_k, top, temperature, values, ids, spare, near, found)
    elif bound > LOWEST and SPARSE * reaching(logits, size, bound) < size:
        chosen = True
        count = keep_from(logits, size, bound, values, ids)
        scale(values, count, top, temperature, values)
    else:
        total = weigh_all(logits, size, top, temperature, values)
    if chosen:
        total = weigh(values, count, top if temperature == 1.0 else f32(0.0))
    if top_p < 1.0:
        goal = share(total, top_p)
        bound = negligible(total - goal, count)
        least = value_of(find_threshold(values, values, count, goal, bound, near, near_weights, found, WEIGHED=True))
        each = unit(least)
        total = keep_weights(values, values, count, least, (goal - found[1] + each - 1) // each)
    if min_p > 0.0:
        least = f32(min_p)
        if f64(least) >= min_p:
            least = value_of(key_of(least) - 1)
        total = keep_weights(values, values, count, least, 0)
    if typical_p < 1.0:
        distances(values, count, total, spare)
        goal = share(total, typical_p)
        key = find_threshold(spare, values, count, goal, LOWEST, near, near_weights, found, WEIGHED=True)
        total = keep_weights(spare, values, count, value_of(key - 1), 0)
    place = place_of(values, count, portion(total, number))
    return i64(ids[place]) if chosen else place


@kernel
def choose(
    allowed: Pointer[f32], logits: Pointer[f32], size: i64, fractions: Pointer[f64], counts: Pointer[i64],
    numbers: Pointer[i64], tokens: Pointer[i64], chances: Pointer[f32], row_id: Pointer[i32],
    row_position: Pointer[i32], tile_position: Pointer[i64], values: Pointer[f32], near: Pointer[f32],
    near_weights: Pointer[f32], spare: Pointer[f32], ids: Pointer[i32], found: Pointer[i64], begin: i64, end: i64,
) -> None:  # fmt: skip
    """Choose the next token of a text among `allowed`, and make it what a pass over one row reads next.

    Args:
        allowed, logits: [size], what is chosen from, and what the model said, which may be the same.
        fractions: temperature, top_p, min_p, typical_p. counts: DRAWN (0: the greatest), TOP_K, CHANGED (0: what is
            allowed is what the model said), CHOSEN so far.
        numbers, tokens, chances: for each token that is chosen its random number, its id (or NONE where the logits
            allow no choice) and its log-probability.
        row_id, row_position, tile_position: of the row to be read, moved on.
    """
    for _ in range(begin, end):
        chosen = counts[CHOSEN]
        token = greatest(allowed, size)
        if token != NONE:
            top = allowed[token] if counts[CHANGED] == 0 else peak(logits, size)
            if counts[DRAWN] != 0:
                token = draw(
                    allowed, size, allowed[token], fractions[0], counts[TOP_K], fractions[1], fractions[2],
                    fractions[3], numbers[chosen], values, near, near_weights, spare, ids, found,
                )  # fmt: skip
            chances[chosen] = logits[token] - top - log_total(logits, size, top)
        tokens[chosen] = token
        counts[CHOSEN] = chosen + 1
        row_id[0] = i32(max(token, 0))
        row_position[0] = row_position[0] + 1
        tile_position[0] = tile_position[0] + 1
