"""Filters that keep a share of the probability: top_p, by the probability of tokens, and typical_p, by how near the
logarithm of it is to its mean.

Each finds the rank of the last token that is kept without sorting. A sample of the tokens tells about where it is; the
threads gather the tokens around that, and add up those above; among the few that were gathered it is found exactly.
Weights are counted in whole units (see `glassformer.kernels.selection`), so no result depends on an order of summation.
"""

from glassformer.kernels.selection import (
    UNIT_BITS,
    bisect,
    key_of,
    measure,
    raised,
    total_of,
    unit,
    units_of,
    value_of,
)
from glassformer.kernels.softmax import PART
from glassformer.simd import (
    Pointer,
    absolute,
    ceil,
    compress,
    f32,
    f32x16,
    f64,
    f64x16,
    i64,
    i64x16,
    kernel,
    load,
    mask_bits,
    popcount,
    select,
    store,
)  # fmt: skip

NEVER = -float("inf")
TOP_P, TYPICAL_P = 0, 1  # the filters, in the order in which they come
MANY, SAMPLE = 8192, 16  # tokens of which a sample is taken, and one vector in so many
MARGIN = 1 << 20  # around the key that the sample tells: an eighth of the numbers of one exponent
HEAVY = 4096  # a token that has more than one part in so many of the weight is looked at for itself
FARTHEST = -256.0  # below the rank of any token of typical_p that has a weight: a logarithm of f32 is above -104

# Places in a text's wishes, numbers of f64: how a token is to be drawn.
INVERSE, MIN_P, SHARES, WISHES = 0, 1, 2, 4
# Places in a text's state, numbers of i64: what is asked (0: the greatest logit; whether what is chosen from is not
# what the model said, and whether a mask is to be added to it), the tokens chosen so far, the tokens that are looked at
# (NONE: no choice is possible), and the filter at work: whether it is, what is to be kept, between which keys, and what
# was found (see `bisect`).
DRAWN, TOP_K, CHANGED, MASKED, CHOSEN, COUNT, ACTIVE, GOAL, LOW, HIGH, FOUND = range(11)
STATE = FOUND + 3
# Places in a text's marks, numbers of f32: greatest logit of those to choose from and of the model's, the mean
# logarithm, the least rank that is kept.
TOP, OWN_TOP, MEAN, LEAST, MARKS = range(5)
# Places in the tally of a part, numbers of i64: its weight, the sum of weight * logarithm, how many tokens were
# gathered, the weight of those above.
TOTAL, MOMENT, NEAR, ABOVE, TALLY = 0, 1, 2, 3, 4
GATHERED = PART + 16  # room for the tokens that are gathered in a part


@kernel
def parts_of(size: i64) -> i64:
    """How many parts so many tokens have."""
    return (size + PART - 1) // PART


@kernel
def sum_of(tally: Pointer[i64], parts: i64) -> i64:
    """One number of each part, added up."""
    total = i64(0)
    for part in range(parts):
        total += tally[part * TALLY]
    return total


@kernel
def moments(weights: f32x16, logs: f32x16) -> i64x16:
    """weight * logarithm in whole units, as `raised` has them."""
    return raised(f64x16(weights) * f64x16(logs))


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
def ranks(logs: f32x16, weights: f32x16, mean: f32, stage: i64) -> f32x16:
    """By what the filter of a stage keeps tokens: the greater, the sooner."""
    return weights if stage == TOP_P else select(weights > 0.0, 0.0 - absolute(logs - mean), NEVER)


@kernel
def take_heavy(
    logs: Pointer[f32], weights: Pointer[f32], count: i64, mean: f32, bound: f32, near: Pointer[f32],
    near_weights: Pointer[f32],
) -> i64:  # fmt: skip
    """The ranks of typical_p and the weights of the tokens that weigh at least `bound`; how many."""
    taken = i64(0)
    for i in range(0, count, 16):
        w = load(weights + i, f32x16)
        bits = mask_bits(w >= bound)
        if bits != 0:
            store(near + taken, compress(ranks(load(logs + i, f32x16), w, mean, TYPICAL_P), w >= bound))
            store(near_weights + taken, compress(w, w >= bound))
            taken += i64(popcount(bits))
    return taken


@kernel
def take_sample(
    logs: Pointer[f32], weights: Pointer[f32], count: i64, mean: f32, stage: i64, bound: f32, near: Pointer[f32],
    near_weights: Pointer[f32],
) -> i64:  # fmt: skip
    """The ranks of one vector in SAMPLE, and the weights below `bound`, times SAMPLE; of how many tokens."""
    taken = i64(0)
    for i in range(0, count, 16 * SAMPLE):
        w = load(weights + i, f32x16)
        store(near + taken, ranks(load(logs + i, f32x16), w, mean, stage))
        store(near_weights + taken, select(w < bound, w * f32(SAMPLE), 0.0))
        taken += 16
    store(near + taken, f32x16(NEVER))
    store(near_weights + taken, f32x16(0.0))
    return taken


@kernel
def probable(
    logs: Pointer[f32], weights: Pointer[f32], count: i64, mean: f32, stage: i64, total: i64, fraction: f64, low: i64,
    near: Pointer[f32], near_weights: Pointer[f32], found: Pointer[i64],
) -> i64:  # fmt: skip
    """About where the key of the last token is that is kept; `low` where few are as likely as that.

    A sample tells. Where the greatest probabilities are not of ranks next to each other it could miss what matters, so
    the tokens that have more than their part of the weight are all in it.
    """
    taken = i64(0)
    bound = f32(2.0)
    if stage == TYPICAL_P:
        bound = f32(f64(total) * 2.0**-UNIT_BITS / HEAVY)
        taken = take_heavy(logs, weights, count, mean, bound, near, near_weights)
    taken += take_sample(logs, weights, count, mean, stage, bound, near + taken, near_weights + taken)
    key = low
    if measure(near, near_weights, taken, value_of(low), found, WEIGHED=False) * 4 > taken:
        goal = share(total_of(near_weights, taken), fraction)  # of the sample's own total, as its parts err alike
        key = bisect(
            near, near_weights, taken, goal, low, key_of(1.0) + 1, near, near_weights, found, WEIGHED=True
        )  # fmt: skip
    return key


@kernel
def narrow(
    wishes: Pointer[f64], state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64, desk: Pointer[f32],
    room: i64, stage: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """Say what the filter of a stage has to keep, and between which ranks the last token is likely to be.

    Arguments are those of `glassformer.kernels.sampling.place`.
    """
    for _ in range(begin, end):
        logs, weights, near, near_weights = desk, desk + room, desk + 2 * room, desk + 3 * room
        fraction, count = wishes[SHARES + stage], state[COUNT]
        state[ACTIVE] = i64(1) if count > 0 and fraction < 1.0 else i64(0)
        if state[ACTIVE] != 0:
            total = sum_of(tally + TOTAL, parts_of(size))
            goal = share(total, fraction)
            mean = f32(f64(sum_of(tally + MOMENT, parts_of(size))) / f64(total))
            low = max(key_of(negligible(total - goal, count)), 1) if stage == TOP_P else key_of(FARTHEST)
            high = key_of(1.0) + 1
            if count >= MANY:
                about = probable(
                    logs, weights, count, mean, stage, total, fraction, low, near, near_weights, state + FOUND
                )  # fmt: skip
                if about > low:
                    low, high = max(low, about - MARGIN), min(high, about + MARGIN)
            state[GOAL] = goal
            state[LOW] = low
            state[HIGH] = high
            marks[MEAN] = mean


@kernel
def gather_part(
    logs: Pointer[f32], weights: Pointer[f32], count: i64, mean: f32, stage: i64, low: i64, high: i64,
    near: Pointer[f32], near_weights: Pointer[f32], tally: Pointer[i64],
) -> None:  # fmt: skip
    """Copy the ranks from `low` to below `high` and their weights, in order; add up the weights of those above."""
    least, most = value_of(low), value_of(high)
    taken = i64(0)
    above = i64x16(0)
    for i in range(0, count, 16):
        w = load(weights + i, f32x16)
        rank = ranks(load(logs + i, f32x16), w, mean, stage)
        above = above + raised(f64x16(select(rank >= most, w, 0.0)))
        inside = (rank >= least) & (rank < most)
        bits = mask_bits(inside)
        if bits != 0:
            store(near + taken, compress(rank, inside))
            store(near_weights + taken, compress(w, inside))
            taken += i64(popcount(bits))
    tally[NEAR] = taken
    tally[ABOVE] = units_of(above, count)


@kernel
def gather(
    state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64, desk: Pointer[f32], room: i64, stage: i64,
    begin: i64, end: i64,
) -> None:  # fmt: skip
    """Gather the tokens around the last one that is kept; a task is a part of the vocabulary."""
    for part in range(begin, end):
        if state[ACTIVE] != 0:
            logs, near = desk + part * PART, desk + 2 * room + part * GATHERED
            gather_part(
                logs, logs + room, min(max(state[COUNT] - part * PART, 0), PART), marks[MEAN], stage, state[LOW],
                state[HIGH], near, near + room, tally + part * TALLY,
            )  # fmt: skip


@kernel
def join(near: Pointer[f32], near_weights: Pointer[f32], tally: Pointer[i64], parts: i64) -> i64:
    """Move together what was gathered in all parts; how many tokens."""
    left = i64(0)
    for part in range(parts):
        source, taken = part * GATHERED, tally[part * TALLY + NEAR]
        for i in range(0, taken, 16):
            store(near + left + i, load(near + source + i, f32x16))
            store(near_weights + left + i, load(near_weights + source + i, f32x16))
        left += taken
    return left


@kernel
def drop_ties(weights: Pointer[f32], count: i64, least: f32, kept: i64) -> None:
    """Set to 0 the weights that are `least`, but for so many first ones."""
    for i in range(0, count, 16):
        if mask_bits(load(weights + i, f32x16) == least) != 0:
            for lane in range(16):
                if weights[i + lane] == least:
                    kept -= 1
                    if kept < 0:
                        weights[i + lane] = 0.0


@kernel
def settle(
    wishes: Pointer[f64], state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64, desk: Pointer[f32],
    room: i64, stage: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """Find the rank of the last token that is kept, exactly; where it is not where it was likely, beside that."""
    for _ in range(begin, end):
        if state[ACTIVE] != 0:
            logs, weights, near, near_weights = desk, desk + room, desk + 2 * room, desk + 3 * room
            goal, low, high, mean = state[GOAL], state[LOW], state[HIGH], marks[MEAN]
            left, above = join(near, near_weights, tally, parts_of(size)), sum_of(tally + ABOVE, parts_of(size))
            store(near_weights + left, f32x16(0.0))
            weight = total_of(near_weights, left)
            step = i64(MARGIN)
            while above >= goal or above + weight < goal:
                step = step * 2
                if above >= goal:
                    low, high = high, min(high + step, key_of(1.0) + 1)
                else:
                    low, high = max(low - step, i64(1) if stage == TOP_P else key_of(FARTHEST)), low
                gather_part(logs, weights, state[COUNT], mean, stage, low, high, near, near_weights, tally)
                left, above = tally[NEAR], tally[ABOVE]
                store(near_weights + left, f32x16(0.0))
                weight = total_of(near_weights, left)
            store(near + left, f32x16(NEVER))
            found = state + FOUND
            found[2] = weight
            least = value_of(
                bisect(near, near_weights, left, goal - above, low, high, near, near_weights, found, WEIGHED=True)
            )
            if stage == TOP_P:
                each = unit(least)
                kept = (goal - above - found[1] + each - 1) // each
                if kept * each < found[2] - found[1]:
                    drop_ties(weights, state[COUNT], least, kept)
                least = max(least, f32(wishes[MIN_P]))
            marks[LEAST] = least


@kernel
def cut_part(
    logs: Pointer[f32], weights: Pointer[f32], count: i64, mean: f32, stage: i64, least: f32, tally: Pointer[i64]
) -> None:  # fmt: skip
    """Set to 0 the weights of ranks below `least`; what is left of the sums."""
    total = i64x16(0)
    moment = i64x16(0)
    for i in range(0, count, 16):
        log, w = load(logs + i, f32x16), load(weights + i, f32x16)
        w = select(ranks(log, w, mean, stage) >= least, w, 0.0)
        store(weights + i, w)
        total = total + raised(f64x16(w))
        moment = moment + moments(w, log)
    tally[TOTAL] = units_of(total, count)
    tally[MOMENT] = units_of(moment, count)


@kernel
def cut(
    state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64, desk: Pointer[f32], room: i64, stage: i64,
    begin: i64, end: i64,
) -> None:  # fmt: skip
    """Leave out the tokens that the filter does not keep; a task is a part of the vocabulary."""
    for part in range(begin, end):
        if state[ACTIVE] != 0:
            logs = desk + part * PART
            cut_part(
                logs, logs + room, min(max(state[COUNT] - part * PART, 0), PART), marks[MEAN], stage, marks[LEAST],
                tally + part * TALLY,
            )  # fmt: skip
