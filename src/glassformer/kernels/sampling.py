"""From logits to one token. `glassformer.generation.filters` defines in NumPy what is computed here; tests hold the two
to the same tokens.

A token is chosen in a few launches, so that all threads have part in it: `survey`, `pick`, `weigh`, `settle`,
`gather`, `settle` and `place`. Where a launch has several tasks, they are parts of PART tokens of the vocabulary. Two
filters keep a share of the probability, top_p and then typical_p: for the former `weigh` gathers, as soon as tokens
have a weight. Sums of probabilities are sums of integers (see `glassformer.kernels.selection`), so a draw does not
depend on an order of summation.
"""

from glassformer.kernels.candidates import NEVER, SUMMITS, keep_top_k, note_summits, parts_of, scaled
from glassformer.kernels.filtering import (
    ABOVE,
    CHANGED,
    CHOSEN,
    COUNT,
    DRAWN,
    FOUND,
    GATHERED,
    HIGH,
    INVERSE,
    LEAST,
    LOW,
    MASKED,
    MEAN,
    MIN_P,
    MOMENT,
    NEAR,
    OWN_TOP,
    RANKS,
    SPARE,
    TALLY,
    TOP,
    TOP_K,
    TOP_P,
    TOTAL,
    TYPICAL_P,
    moments,
    put_near,
    sum_of,
    wanted,
)
from glassformer.kernels.guessing import MANY, find_heavy, guess
from glassformer.kernels.selection import LOWEST, raised, total_of, unit, units_among, units_of, value_of
from glassformer.kernels.settling import cut_part
from glassformer.kernels.softmax import FLOOR, PART, load_some, sum_of_powers
from glassformer.simd import (
    Pointer,
    exp_normal,
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
    popcount,
    reduce_add,
    reduce_max,
    select,
    static_range,
    store,
    u64,
)  # fmt: skip

CHAINS = 4  # independent maxima, to hide the latency of each
NONE = -1  # no token: the logits hold NaN or plus infinity, or nothing finite
BLOCK = 256  # tokens whose weight is added up before one of them is looked for
RANDOM_BITS = 53  # of a random number
HALF_WORD = 0xFFFFFFFF


@kernel
def peak(logits: Pointer[f32], size: i64) -> f32:
    """The greatest of [size]; NaN if any is NaN."""
    best = [f32x16(NEVER) for c in static_range(CHAINS)]
    poison = best[0] != best[0]
    start = size // (16 * CHAINS) * (16 * CHAINS)
    for i in range(0, start, 16 * CHAINS):
        for c in static_range(CHAINS):
            v = load(logits + i + 16 * c, f32x16)
            poison = poison | (v != v)
            best[c] = maximum(v, best[c])
    for i in range(start, size, 16):
        v = load_some(logits + i, size - i)
        poison = poison | (v != v)
        best[0] = maximum(v, best[0])
    for c in static_range(1, CHAINS):
        best[0] = maximum(best[0], best[c])
    return reduce_max(best[0]) if mask_bits(poison) == 0 else f32(float("nan"))


@kernel
def log_probabilities(logits: Pointer[f32], size: i64, ids: Pointer[i32], count: i64, out: Pointer[f32]) -> None:
    """out[j] = log softmax(logits)[ids[j]], the very bits that the softmax over all gives;  ids, out: [count]."""
    top = peak(logits, size)
    total = f32x16(0.0)
    for start in range(0, size, PART):
        total = total + sum_of_powers(logits + start, min(PART, size - start), top)
    shift = log(reduce_add(total))
    for j in range(count):
        out[j] = logits[i64(ids[j])] - top - shift


@kernel
def add(x: Pointer[f32], y: Pointer[f32], out: Pointer[f32], count: i64) -> None:
    """out = x + y;  all [count]."""
    for i in range(0, count, 16):
        store(out + i, load(x + i, f32x16, count=count - i) + load(y + i, f32x16, count=count - i), count=count - i)


@kernel
def survey(
    allowed: Pointer[f32], mask: Pointer[f32], logits: Pointer[f32], masked: Pointer[f32], size: i64,
    state: Pointer[i64], summits: Pointer[f32], peaks: Pointer[f32], begin: i64, end: i64,
) -> None:  # fmt: skip
    """The greatest of each part of what is chosen from, with its summits, and of what the model said; a task is a part.

    Arguments are those of `place`.
    """
    for part in range(begin, end):
        start = part * PART
        width, source = min(PART, size - start), allowed + start
        if state[MASKED] != 0:
            source = masked + start
            add(allowed + start, mask + start, source, width)
        peaks[2 * part] = note_summits(source, width, summits + part * SUMMITS)
        peaks[2 * part + 1] = peaks[2 * part]
        if state[CHANGED] != 0:
            peaks[2 * part + 1] = peak(logits + start, width)


@kernel
def chosen_from(allowed: Pointer[f32], masked: Pointer[f32], state: Pointer[i64]) -> Pointer[f32]:
    """The logits [size] that the token is chosen from."""
    return masked if state[MASKED] != 0 else allowed


@kernel
def greatest_of(peaks: Pointer[f32], parts: i64) -> f32:
    """The greatest of all parts; NaN if one is NaN."""
    top = peaks[0]
    for part in range(1, parts):
        other = peaks[2 * part]
        if other > top or other != other:
            top = other
    return top


@kernel
def pick(
    allowed: Pointer[f32], masked: Pointer[f32], size: i64, wishes: Pointer[f64], state: Pointer[i64],
    marks: Pointer[f32], summits: Pointer[f32], peaks: Pointer[f32], desk: Pointer[f32], room: i64, ids: Pointer[i32],
    begin: i64, end: i64,
) -> None:  # fmt: skip
    """Note the greatest logits and how many tokens are looked at; move the top_k together; guess what top_p keeps."""
    for _ in range(begin, end):
        top, inverse = greatest_of(peaks, parts_of(size)), f32(wishes[INVERSE])
        marks[TOP] = top
        marks[OWN_TOP] = greatest_of(peaks + 1, parts_of(size))
        marks[LEAST] = 0.0
        state[COUNT] = NONE
        if top >= LOWEST and top <= -LOWEST:
            source = chosen_from(allowed, masked, state)
            state[COUNT] = size if state[DRAWN] != 0 else i64(0)
            if state[DRAWN] != 0 and state[TOP_K] != 0:
                state[COUNT] = keep_top_k(
                    source, size, state[TOP_K], top, inverse, summits, desk, ids, desk + SPARE * room, state + FOUND
                )
                source, top, inverse = desk, f32(0.0), f32(1.0)  # they are scaled
            top_p = wanted(wishes, state, TOP_P)
            if state[COUNT] >= MANY and top_p + wanted(wishes, state, TYPICAL_P) != 0:
                find_heavy(summits, size, wishes, state, marks)
            if top_p != 0:
                guess(source, top, inverse, 0.0, summits, size, wishes, state, marks, desk, room, TOP_P)


@kernel
def weigh_part(
    x: Pointer[f32], count: i64, top: f32, inverse: f32, least: f32, desk: Pointer[f32], room: i64, part: i64,
    state: Pointer[i64], tally: Pointer[i64], centred: i64, gathering: i64,
) -> f32x16:  # fmt: skip
    """Weights of logits x [count] of a part, 0 for those below `least`, and their sum in units.

    Weights of logarithms below FLOOR are 0: they are far below the unit that weights are counted in.

    Args:
        centred: whether logarithms and the moment are wanted.
        gathering: whether the tokens between the keys of `state` are to be gathered, see `filtering.gather_part`.

    Returns:
        For each lane the sum of all weights, as `sum_of_powers` has them for an inverse of 1.
    """
    logs, near = desk + part * PART, desk + RANKS * room + part * GATHERED
    low, high = value_of(state[LOW]), value_of(state[HIGH])
    total, moment, above = i64x16(0), i64x16(0), i64x16(0)
    taken, number = i64(0), i64(0)
    powers = f32x16(0.0)
    for i in range(0, count, 16):
        distance = scaled(load_some(x + i, count - i), top, inverse)
        weight = select(distance > FLOOR, exp_normal(distance), 0.0)
        powers = powers + weight
        weight = select(weight >= least, weight, 0.0)
        store(logs + room + i, weight)
        units = raised(f64x16(weight))
        total = total + units
        if centred != 0:
            distance = maximum(distance, FLOOR)
            store(logs + i, distance)
            moment = moment + moments(weight, distance)
        if gathering != 0:
            number += i64(popcount(mask_bits(weight >= high)))
            above = above + select(weight >= high, units, 0)
            taken += put_near(weight, weight, low, high, near + taken, near + taken)
    tally[TOTAL] = units_of(total, count)
    if centred != 0:
        tally[MOMENT] = units_of(moment, count)
    if gathering != 0:
        tally[NEAR] = taken
        tally[ABOVE] = units_among(above, number)
    return powers


@kernel
def weigh(
    allowed: Pointer[f32], logits: Pointer[f32], masked: Pointer[f32], size: i64, wishes: Pointer[f64],
    state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], powers: Pointer[f32], desk: Pointer[f32], room: i64,
    begin: i64, end: i64,
) -> None:  # fmt: skip
    """Add up e^(logits - greatest) of what the model said, and weigh the tokens to draw from; a task is a part."""
    centred, gathering = wanted(wishes, state, TYPICAL_P), wanted(wishes, state, TOP_P)
    for part in range(begin, end):
        start = part * PART
        if state[COUNT] != NONE:
            source, top, inverse = chosen_from(allowed, masked, state) + start, marks[TOP], f32(wishes[INVERSE])
            if state[TOP_K] != 0:  # they are in place, and scaled
                source, top, inverse = desk + start, f32(0.0), f32(1.0)
            count = min(max(state[COUNT] - start, 0), PART)
            least = f32(wishes[MIN_P]) if gathering == 0 else f32(0.0)  # top_p comes first
            sums = weigh_part(
                source, count, top, inverse, least, desk, room, part, state, tally + part * TALLY, centred, gathering
            )  # fmt: skip
            if state[COUNT] != size or state[CHANGED] != 0 or inverse != 1.0:
                sums = sum_of_powers(logits + start, min(PART, size - start), marks[OWN_TOP])
            store(powers + 16 * part, sums)


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
def place_of(weights: Pointer[f32], count: i64, before: i64, target: i64) -> i64:
    """The first place at which the running sum of weights [count], in units, exceeds a target; it begins at `before`.

    The target must be below the whole sum.
    """
    start = i64(0)
    while start + BLOCK < count:
        passed = before + total_of(weights + start, BLOCK)
        if passed > target:
            break
        before = passed
        start += BLOCK
    before += unit(weights[start])
    while before <= target:
        start += 1
        before += unit(weights[start])
    return start


@kernel
def drawn(
    wishes: Pointer[f64], state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64, desk: Pointer[f32],
    room: i64, number: i64,
) -> i64:  # fmt: skip
    """The place of the token that a random number of 53 bits tells.

    The tallies say in which part it is. Only in that part tokens that the last filter does not keep get the weight 0.
    """
    target, before, part = portion(sum_of(tally + TOTAL, parts_of(size)), number), i64(0), i64(0)
    while before + tally[part * TALLY + TOTAL] <= target:
        before += tally[part * TALLY + TOTAL]
        part += 1
    start = part * PART
    logs, count = desk + start, min(state[COUNT] - start, PART)
    stage = i64(TYPICAL_P) if wanted(wishes, state, TYPICAL_P) != 0 else i64(TOP_P)
    if wanted(wishes, state, stage) != 0:
        cut_part(logs, logs + room, count, marks[MEAN], stage, marks[LEAST], tally + part * TALLY)
    return start + place_of(logs + room, count, before, target)


@kernel
def first_of(logits: Pointer[f32], size: i64, peaks: Pointer[f32], top: f32) -> i64:
    """The first place of logits [size] with the greatest of them, by the peaks of the parts."""
    start = i64(0)
    while peaks[2 * (start // PART)] != top:
        start += PART
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
def place(
    allowed: Pointer[f32], logits: Pointer[f32], masked: Pointer[f32], size: i64, wishes: Pointer[f64],
    state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], peaks: Pointer[f32], powers: Pointer[f32],
    desk: Pointer[f32], room: i64, ids: Pointer[i32], numbers: Pointer[i64], tokens: Pointer[i64],
    chances: Pointer[f32], row_id: Pointer[i32], row_position: Pointer[i32], tile_position: Pointer[i64], begin: i64,
    end: i64,
) -> None:  # fmt: skip
    """Choose the next token of a text, and make it what a pass over one row reads next.

    Args:
        allowed, logits: [size], what is chosen from, and what the model said, which may be the same.
        masked: [size], the former with what `survey` added to it, the mask [size], where there is one.
        wishes, state, marks, tally: of the text, and of each part of its vocabulary, see `kernels.filtering`.
        summits: [parts, SUMMITS], greatest logits of groups, see `kernels.candidates`.
        peaks: [parts, 2], the greatest of each part of both. powers: [parts, 16], the sums of `weigh`.
        desk: [DESK, room], logarithms and weights of tokens, and room to work. ids: [room], of the top_k.
        numbers, tokens, chances: for each token that is chosen its random number of 53 bits, its id (or NONE where the
            logits allow no choice) and its log-probability.
        row_id, row_position, tile_position: of the row to be read, moved on.
    """
    for _ in range(begin, end):
        parts, at = parts_of(size), state[CHOSEN]
        token = i64(NONE)
        if state[COUNT] == 0:
            token = first_of(chosen_from(allowed, masked, state), size, peaks, marks[TOP])
        elif state[COUNT] > 0:
            token = drawn(wishes, state, marks, tally, size, desk, room, numbers[at])
            if state[TOP_K] != 0:
                token = i64(ids[token])
        if token != NONE:
            total = f32x16(0.0)
            for part in range(parts):
                total = total + load(powers + 16 * part, f32x16)
            chances[at] = logits[token] - marks[OWN_TOP] - log(reduce_add(total))
        tokens[at] = token
        state[CHOSEN] = at + 1
        row_id[0] = i32(max(token, 0))
        row_position[0] = row_position[0] + 1
        tile_position[0] = tile_position[0] + 1
