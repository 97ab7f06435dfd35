"""Filters that keep a share of the probability: top_p, by the probability of tokens, and typical_p, by how near the
logarithm of it is to its mean.

Each finds the rank of the last token that is kept without sorting. A guess from a sample of the tokens (see
`glassformer.kernels.guessing`) says about where it is; the threads gather the tokens around that, and add up those
above; among the few that were gathered it is found exactly (see `glassformer.kernels.settling`). Weights are counted in
whole units (see `glassformer.kernels.selection`), so no result depends on an order of summation, or on the guess.
"""

from glassformer.kernels.selection import raised, units_among, value_of
from glassformer.kernels.softmax import PART
from glassformer.simd import (
    Pointer,
    absolute,
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

TOP_P, TYPICAL_P = 0, 1  # the filters, in the order in which they come
STEP = 1 << 20  # of keys, by which bounds are moved where the guess was wrong: an eighth of one exponent's
FARTHEST = -256.0  # below the rank of any token of typical_p that has a weight: a logarithm of f32 is above -104

# Places in a text's wishes, numbers of f64: how a token is to be drawn.
INVERSE, MIN_P, SHARES, WISHES = 0, 1, 2, 4
# Places in a text's state, numbers of i64: what is asked (0: the greatest logit; whether what is chosen from is not
# what the model said, and whether a mask is to be added to it), the tokens chosen so far, the tokens that are looked at
# (NONE: no choice is possible), and of the filter at work the keys between which the last token is sought, and what was
# found (see `bisect`).
DRAWN, TOP_K, CHANGED, MASKED, CHOSEN, COUNT, LOW, HIGH, FOUND = range(9)
STATE = FOUND + 3
# Places in a text's marks, numbers of f32: greatest logit of those to choose from and of the model's, the mean
# logarithm, the least weight that is kept, from which distance to the greatest on tokens are heavy.
TOP, OWN_TOP, MEAN, LEAST, HEAVY, MARKS = range(6)
# Places in the tally of a part, numbers of i64: its weight, the sum of weight * logarithm, how many tokens were
# gathered, the weight of those above.
TOTAL, MOMENT, NEAR, ABOVE, TALLY = 0, 1, 2, 3, 4
GATHERED = PART + 16  # room for the tokens gathered in a part; moving them to the front overlaps nothing yet unread
# Rows of a desk [DESK, room]: logarithms and weights of tokens, ranks and weights of those that were gathered, room.
LOGS, WEIGHTS, RANKS, NEAR_WEIGHTS, SPARE, SPARE_WEIGHTS, DESK = range(7)


@kernel
def sum_of(tally: Pointer[i64], parts: i64) -> i64:
    """One number of each part, added up."""
    total = i64(0)
    for part in range(parts):
        total += tally[part * TALLY]
    return total


@kernel
def wanted(wishes: Pointer[f64], state: Pointer[i64], stage: i64) -> i64:
    """1 if the filter of a stage has something to do."""
    return i64(1) if state[COUNT] > 0 and wishes[SHARES + stage] < 1.0 else i64(0)


@kernel
def moments(weights: f32x16, logs: f32x16) -> i64x16:
    """weight * logarithm in whole units, as `raised` has them."""
    return raised(f64x16(weights) * f64x16(logs))


@kernel
def ranks(logs: f32x16, weights: f32x16, mean: f32, stage: i64) -> f32x16:
    """By what the filter of a stage keeps tokens: the greater, the sooner. A token of weight 0 may have any rank."""
    return weights if stage == TOP_P else 0.0 - absolute(logs - mean)


@kernel
def near_weights_of(near: Pointer[f32], room: i64, stage: i64) -> Pointer[f32]:
    """Where the weights are of the tokens that were gathered: for top_p they are the ranks."""
    return near if stage == TOP_P else near + room


@kernel
def put_near(
    rank: f32x16, weights: f32x16, least: f32, most: f32, near: Pointer[f32], near_weights: Pointer[f32]
) -> i64:  # fmt: skip
    """Copy the ranks from `least` to below `most`, in order, and their weights, perhaps to the same place; how many.

    Nothing is asked before: whether a vector has one is hard to foresee.
    """
    inside = (rank >= least) & (rank < most)
    store(near, compress(rank, inside))
    store(near_weights, compress(weights, inside))
    return i64(popcount(mask_bits(inside)))


@kernel
def gather_part(
    logs: Pointer[f32], weights: Pointer[f32], count: i64, mean: f32, stage: i64, state: Pointer[i64],
    near: Pointer[f32], near_weights: Pointer[f32], tally: Pointer[i64],
) -> None:  # fmt: skip
    """Gather the tokens between the keys of `state` and their weights, in order; add up the weights of those above."""
    least, most = value_of(state[LOW]), value_of(state[HIGH])
    taken, number = i64(0), i64(0)
    above = i64x16(0)
    for i in range(0, count, 16):
        w = load(weights + i, f32x16)
        rank = ranks(load(logs + i, f32x16), w, mean, stage)
        number += i64(popcount(mask_bits(rank >= most)))
        above = above + select(rank >= most, raised(f64x16(w)), 0)
        taken += put_near(rank, w, least, most, near + taken, near_weights + taken)
    tally[NEAR] = taken
    tally[ABOVE] = units_among(above, number)


@kernel
def gather(
    wishes: Pointer[f64], state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64, desk: Pointer[f32],
    room: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """Gather the tokens around the last one that typical_p keeps; a task is a part of the vocabulary."""
    for part in range(begin, end):
        if wanted(wishes, state, TYPICAL_P) != 0:
            logs, near = desk + part * PART, desk + RANKS * room + part * GATHERED
            gather_part(
                logs, logs + room, min(max(state[COUNT] - part * PART, 0), PART), marks[MEAN], TYPICAL_P, state, near,
                near + room, tally + part * TALLY,
            )  # fmt: skip
