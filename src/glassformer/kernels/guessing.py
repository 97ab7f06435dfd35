"""About where the last token is that a filter keeps, from a sample: one vector in SAMPLE, and the heaviest tokens.

What is guessed decides how few tokens are gathered, and nothing else. A sample tells little of the few tokens that have
most of the weight, so these are not left to it: they are found among the maxima of small groups.
"""

from glassformer.kernels.candidates import SUMMITS, parts_of, scaled
from glassformer.kernels.filtering import (
    COUNT,
    FARTHEST,
    FOUND,
    HEAVY,
    HIGH,
    INVERSE,
    LOW,
    MEAN,
    MIN_P,
    SHARES,
    SPARE,
    TOP,
    TOP_P,
)
from glassformer.kernels.selection import key_of, measure
from glassformer.kernels.softmax import load_some
from glassformer.simd import (
    Pointer,
    absolute,
    compress,
    exp_normal,
    f32,
    f32x16,
    f64,
    i64,
    kernel,
    load,
    mask_bits,
    maximum,
    minimum,
    popcount,
    reduce_add,
    select,
    sqrt,
    static_range,
    store,
)  # fmt: skip

CHAINS = 4  # independent sums, to hide the latency of each
MANY = 8192  # tokens from which on a sample is taken
SAMPLE = 16
HEAVIEST = 128  # tokens, about, that are looked at for themselves
NOTHING = -32.0  # logarithms of weights that are less than half a unit
HEAVY_HALVINGS, HALVINGS = 8, 12  # of the logarithms from that to 0, of the ranks from twice that to 0
WINDOW = 0.125  # in which it is measured how dense the tokens are around a rank
NARROWEST, WIDEST = 0.02, 8.0  # bounds of the margin around what the sample tells
ENOUGH, NARROWEST_OF_FEW = 16, 0.75  # with fewer tokens of the sample in the window, its density tells nothing
DEVIATIONS = 3.0  # of the sample, that the margin allows for


@kernel
def look_at(
    x: Pointer[f32], count: i64, stride: i64, top: f32, inverse: f32, low: f32, high: f32, least: f32, mean: f32,
    stage: i64, factor: f32, ranks: Pointer[f32], weights: Pointer[f32],
) -> i64:  # fmt: skip
    """Ranks and weights, times a factor, of every stride-th vector of logits x [count]; how many tokens.

    Left out are logarithms below `low` or not below `high`, and weights below `least`. The rank is a logarithm, also
    for top_p.
    """
    taken = i64(0)
    for i in range(0, count, stride):
        log = scaled(load_some(x + i, count - i), top, inverse)
        weight = exp_normal(maximum(log, NOTHING))
        seen = (log >= low) & (log < high) & (log >= NOTHING) & (weight >= least)
        bits = mask_bits(seen)
        if bits != 0:
            rank = log if stage == TOP_P else 0.0 - absolute(log - mean)
            store(ranks + taken, compress(rank, seen))
            store(weights + taken, compress(weight * factor, seen))
            taken += i64(popcount(bits))
    for c in static_range(CHAINS):
        store(weights + taken + 16 * c, f32x16(0.0))
    return taken


@kernel
def weight_from(ranks: Pointer[f32], weights: Pointer[f32], count: i64, least: f32) -> f32:
    """The weight of the tokens whose ranks are at least `least`."""
    total = [f32x16(0.0) for c in static_range(CHAINS)]
    for i in range(0, count, 16 * CHAINS):
        for c in static_range(CHAINS):
            place = i + 16 * c
            total[c] = total[c] + select(load(ranks + place, f32x16) >= least, load(weights + place, f32x16), 0.0)
    return reduce_add((total[0] + total[1]) + (total[2] + total[3]))


@kernel
def margin(
    ranks: Pointer[f32], weights: Pointer[f32], heavy: i64, count: i64, fraction: f32, rank: f32
) -> f32:  # fmt: skip
    """How far from a rank the last token is at most, likely: the error of the sampled weight, by the density there.

    An error of a sum over those above the rank counts by what the filter leaves out, of one below by what it keeps.
    """
    squares = f32x16(0.0)
    for i in range(heavy, count, 16):
        w = load(weights + i, f32x16)
        w = select(load(ranks + i, f32x16) >= rank, w * (1.0 - fraction), w * fraction)
        squares = squares + w * w
    beside, number = f32x16(0.0), i64(0)
    for i in range(0, count, 16):
        near = absolute(load(ranks + i, f32x16) - rank) < WINDOW
        beside = beside + select(near, load(weights + i, f32x16), 0.0)
        number += i64(popcount(mask_bits(near)))
    error = sqrt(reduce_add(squares)) * f32(DEVIATIONS)
    found = reduce_add(beside)
    widest = minimum(error * f32(2.0 * WINDOW) / found, WIDEST) if found > 0.0 else f32(WIDEST)
    return maximum(widest, NARROWEST if number >= ENOUGH else NARROWEST_OF_FEW)


@kernel
def find_heavy(
    summits: Pointer[f32], size: i64, wishes: Pointer[f64], state: Pointer[i64], marks: Pointer[f32]
) -> None:  # fmt: skip
    """Note from which logarithm on tokens are heavy: so that HEAVIEST tokens are, at most."""
    low, high = f32(NOTHING), f32(0.0)
    noted, top, inverse = parts_of(size) * SUMMITS, marks[TOP], f32(wishes[INVERSE])
    for _ in range(HEAVY_HALVINGS):
        middle = (low + high) * 0.5
        if measure(summits, summits, noted, top + middle / inverse, state + FOUND, WEIGHED=False) > HEAVIEST:
            low = middle
        else:
            high = middle
    marks[HEAVY] = high


@kernel
def guess(
    x: Pointer[f32], top: f32, inverse: f32, least: f32, summits: Pointer[f32], size: i64, wishes: Pointer[f64],
    state: Pointer[i64], marks: Pointer[f32], desk: Pointer[f32], room: i64, stage: i64,
) -> None:  # fmt: skip
    """Note between which keys the last token is likely to be that a filter keeps.

    Args:
        x: [COUNT], logits to be scaled by `top` and `inverse`.
        least: the least weight of the tokens that the filter sees.
        summits: of all parts of the vocabulary.
        wishes, state, marks, desk, room: see `glassformer.kernels.sampling.place`.
    """
    low, high, fraction = f32(NOTHING * 2.0), f32(0.0), f32(wishes[SHARES + stage])
    if state[COUNT] >= MANY:
        ranks, weights, mean = desk + SPARE * room, desk + SPARE * room + room, marks[MEAN]
        heavy = look_at(
            summits, parts_of(size) * SUMMITS, 16, marks[TOP], f32(wishes[INVERSE]), marks[HEAVY], 1.0, least, mean,
            stage, 1.0, ranks, weights,
        )  # fmt: skip
        count = heavy + look_at(
            x, state[COUNT], 16 * SAMPLE, top, inverse, NOTHING, marks[HEAVY], least, mean, stage, f32(SAMPLE),
            ranks + heavy, weights + heavy,
        )  # fmt: skip
        goal = weight_from(ranks, weights, count, low) * fraction
        for _ in range(HALVINGS):
            middle = (low + high) * 0.5
            if weight_from(ranks, weights, count, middle) >= goal:
                low = middle
            else:
                high = middle
        width = margin(ranks, weights, heavy, count, fraction, low)
        low, high = low - width, min(low + width, 0.0)
    if stage == TOP_P:
        state[LOW] = max(key_of(exp_normal(max(low, NOTHING * 2.0))), max(key_of(f32(wishes[MIN_P])), 1))
        state[HIGH] = max(key_of(exp_normal(high)) + 1, state[LOW])
    else:
        state[LOW] = key_of(low) if state[COUNT] >= MANY else key_of(FARTHEST)
        state[HIGH] = key_of(high) + 1
