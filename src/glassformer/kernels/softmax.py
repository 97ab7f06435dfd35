"""Softmax and its logarithm over rows."""

from glassformer.simd import (
    Pointer,
    exp,
    exp_normal,
    f32,
    f32x16,
    i32,
    i32x16,
    i64,
    kernel,
    lane_numbers,
    load,
    log,
    maximum,
    reduce_add,
    reduce_max,
    select,
    store,
)  # fmt: skip

LOWEST = -float("inf")
FLOOR = -60.0  # a distance to the greatest beyond which powers, all together, are lost in the rounding of a sum
PART = 2048  # numbers that are added up by themselves: sums of parts go to different threads where one row is all


@kernel
def load_end(x: Pointer[f32], count: i64) -> f32x16:
    """Fewer than 16 numbers, and minus infinity behind them."""
    return select(lane_numbers(i32x16) < i32(count), load(x, f32x16, count=count), LOWEST)


@kernel
def load_some(x: Pointer[f32], count: i64) -> f32x16:
    """16 numbers or, where there are fewer, those and minus infinity behind them."""
    return load(x, f32x16) if count >= 16 else load_end(x, count)


@kernel
def sum_of_powers(row: Pointer[f32], width: i64, top: f32) -> f32x16:
    """For each of 16 lanes the sum of e^(x - top) over a part of a row, but for negligible ones;  row: [width]."""
    total = f32x16(0.0)
    for i in range(0, width, 16):
        distance = load_some(row + i, width - i) - top
        total = total + select(distance > FLOOR, exp_normal(distance), 0.0)
    return total


@kernel
def softmax_row(row: Pointer[f32], target: Pointer[f32], width: i64, *, LOG: bool) -> None:
    """target = exp(row - max) / sum, or its logarithm row - max - log(sum);  both [width], perhaps the same.

    The sum is that of the parts' sums, lane by lane, and of the lanes at last.
    """
    highest = f32x16(LOWEST)
    for i in range(0, width, 16):
        inside = lane_numbers(i32x16) < i32(width - i)
        highest = maximum(highest, select(inside, load(row + i, f32x16, count=width - i), LOWEST))
    top = reduce_max(highest)
    total = f32x16(0.0)
    for start in range(0, width, PART):
        if LOG:
            total = total + sum_of_powers(row + start, min(PART, width - start), top)
        else:
            part = f32x16(0.0)
            for i in range(start, min(start + PART, width), 16):
                inside = lane_numbers(i32x16) < i32(width - i)
                power = exp(load(row + i, f32x16, count=width - i) - top)
                part = part + select(inside, power, 0.0)
                store(target + i, power, count=width - i)
            total = total + part
    amount = reduce_add(total)
    if LOG:
        shift = log(amount)
        for i in range(0, width, 16):
            store(target + i, load(row + i, f32x16, count=width - i) - top - shift, count=width - i)
    else:
        for i in range(0, width, 16):
            store(target + i, load(target + i, f32x16, count=width - i) / amount, count=width - i)


@kernel
def softmax(x: Pointer[f32], out: Pointer[f32], width: i64, begin: i64, end: i64, *, LOG: bool) -> None:
    """The same for each row;  x, out: [rows, width]; a task is a row."""
    for r in range(begin, end):
        softmax_row(x + r * width, out + r * width, width, LOG=LOG)
