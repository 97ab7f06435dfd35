"""Which tokens a filter keeps that keeps a share of the probability, exactly."""

from glassformer.kernels.candidates import NEVER, parts_of
from glassformer.kernels.filtering import (
    ABOVE,
    COUNT,
    FARTHEST,
    FOUND,
    GATHERED,
    HIGH,
    LEAST,
    LOW,
    MEAN,
    MIN_P,
    MOMENT,
    NEAR,
    RANKS,
    SHARES,
    SPARE,
    STEP,
    TALLY,
    TOP_P,
    TOTAL,
    TYPICAL_P,
    gather_part,
    moments,
    near_weights_of,
    ranks,
    sum_of,
    wanted,
)
from glassformer.kernels.guessing import guess
from glassformer.kernels.selection import bisect, key_of, raised, total_of, unit, units_of, value_of
from glassformer.kernels.softmax import PART
from glassformer.simd import (
    Pointer,
    ceil,
    f32,
    f32x16,
    f64,
    f64x16,
    i64,
    i64x16,
    kernel,
    load,
    mask_bits,
    select,
    store,
)  # fmt: skip


@kernel
def share(total: i64, fraction: f64) -> i64:
    """The fewest units that are at least a fraction of a total; at least 1, at most all."""
    return min(max(i64(ceil(f64(total) * fraction)), 1), total)


@kernel
def join(near: Pointer[f32], near_weights: Pointer[f32], tally: Pointer[i64], parts: i64) -> i64:
    """Move together what was gathered in all parts; how many tokens. Weight 0 stands behind them."""
    left = i64(0)
    for part in range(parts):
        source, taken = part * GATHERED, tally[part * TALLY + NEAR]
        for i in range(0, taken, 16):
            store(near + left + i, load(near + source + i, f32x16))
            store(near_weights + left + i, load(near_weights + source + i, f32x16))
        left += taken
    store(near_weights + left, f32x16(0.0))
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
    state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64, desk: Pointer[f32], room: i64, stage: i64
) -> None:  # fmt: skip
    """Leave out the tokens that the filter does not keep."""
    for part in range(parts_of(size)):
        logs = desk + part * PART
        count = min(max(state[COUNT] - part * PART, 0), PART)
        cut_part(logs, logs + room, count, marks[MEAN], stage, marks[LEAST], tally + part * TALLY)


@kernel
def tally_kept(near: Pointer[f32], near_weights: Pointer[f32], tally: Pointer[i64], parts: i64, least: f32) -> None:
    """The weight that is left of each part: of those above, and of those gathered whose ranks are at least `least`."""
    first = i64(0)
    for part in range(parts):
        end = first + tally[part * TALLY + NEAR]
        total = i64x16(0)
        for i in range(first, end, 16):
            kept = load(near + i, f32x16) >= least
            total = total + raised(f64x16(select(kept, load(near_weights + i, f32x16, count=end - i), 0.0)))
        tally[part * TALLY + TOTAL] = tally[part * TALLY + ABOVE] + units_of(total, end - first)
        first = end


@kernel
def last_kept(
    wishes: Pointer[f64], state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64, desk: Pointer[f32],
    room: i64, stage: i64,
) -> i64:  # fmt: skip
    """Find the least rank that a filter keeps, exactly; where it is not where it was guessed, beside that.

    Returns:
        Whether the tallies of the parts, with what was gathered, still tell what is left of each.
    """
    near = desk + RANKS * room
    near_weights = near_weights_of(near, room, stage)
    goal = share(sum_of(tally + TOTAL, parts_of(size)), wishes[SHARES + stage])
    floor = max(key_of(f32(wishes[MIN_P])), 1) if stage == TOP_P else key_of(FARTHEST)
    left, above = join(near, near_weights, tally, parts_of(size)), sum_of(tally + ABOVE, parts_of(size))
    weight = total_of(near_weights, left)
    step, told = i64(STEP), i64(1)
    while above >= goal or (above + weight < goal and state[LOW] > floor):
        told = i64(0)
        step = step * 2
        if above >= goal:
            state[LOW] = state[HIGH]
            state[HIGH] = min(state[HIGH] + step, key_of(1.0) + 1)
        else:
            state[HIGH] = state[LOW]
            state[LOW] = max(state[LOW] - step, floor)
        gather_part(desk, desk + room, state[COUNT], marks[MEAN], stage, state, near, near_weights, tally)
        left, above = tally[NEAR], tally[ABOVE]
        store(near_weights + left, f32x16(0.0))
        weight = total_of(near_weights, left)
    marks[LEAST] = value_of(floor)
    if above + weight >= goal:
        store(near + left, f32x16(NEVER))
        found, spare = state + FOUND, desk + SPARE * room
        found[2] = weight
        marks[LEAST] = value_of(
            bisect(near, near_weights, left, goal - above, state[LOW], state[HIGH], spare, spare + room, found,
                   WEIGHED=True)
        )  # fmt: skip
        if stage == TOP_P:
            each = unit(marks[LEAST])
            kept = (goal - above - found[1] + each - 1) // each
            if kept * each < found[2] - found[1]:
                drop_ties(desk + room, state[COUNT], marks[LEAST], kept)
                told = i64(0)
    return told


@kernel
def settle(
    wishes: Pointer[f64], state: Pointer[i64], marks: Pointer[f32], tally: Pointer[i64], size: i64,
    summits: Pointer[f32], desk: Pointer[f32], room: i64, stage: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """Say of each part what the filter of a stage leaves of its weight; guess what the next one keeps of that.

    Tokens that are not kept get the weight 0 if another filter follows; of the last filter's `marks` tell.
    Arguments are those of `glassformer.kernels.sampling.place`.
    """
    for _ in range(begin, end):
        parts, near, typical = parts_of(size), desk + RANKS * room, wanted(wishes, state, TYPICAL_P)
        if wanted(wishes, state, stage) != 0:
            told = last_kept(wishes, state, marks, tally, size, desk, room, stage)
            if told != 0 and (stage == TYPICAL_P or typical == 0):  # and it is the last filter
                tally_kept(near, near_weights_of(near, room, stage), tally, parts, marks[LEAST])
            else:
                cut(state, marks, tally, size, desk, room, stage)
        if stage == TOP_P and typical != 0:
            marks[MEAN] = f32(f64(sum_of(tally + MOMENT, parts)) / f64(sum_of(tally + TOTAL, parts)))
            least = max(marks[LEAST], f32(wishes[MIN_P]))
            guess(desk, 0.0, 1.0, least, summits, size, wishes, state, marks, desk, room, TYPICAL_P)
