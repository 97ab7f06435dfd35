"""Changes to what a model computes on the way, made in place.

Which rows are changed, and how, is read from a small array when the launch runs, so that a plan serves all changes.
"""

from glassformer.simd import Pointer, f32, f32x16, i64, kernel, load, store

# What is done to a row, [rows][FIELDS]: how; to which head, where rows have heads (-1: all); the first number and how
# many; where the values begin, how far the next head's are, and whether there is one for each number or one in all.
KIND, HEAD, BEGIN, WIDTH, SOURCE, HEAD_STEP, STEP, FIELDS = 0, 1, 2, 3, 4, 5, 6, 7
NOTHING, SET, ADD, MULTIPLY = 0, 1, 2, 3  # kinds


@kernel
def change(x: Pointer[f32], values: Pointer[f32], kind: i64, width: i64, step: i64, factor: f32) -> None:
    """x = values, x + factor * values, or factor * x;  x: [width], values: [width], or [1] where `step` is 0."""
    for i in range(0, width, 16):
        old = load(x + i, f32x16, count=width - i)
        if kind == MULTIPLY:
            store(x + i, old * factor, count=width - i)
        else:
            value = f32x16(values[0])
            if step != 0:
                value = load(values + i, f32x16, count=width - i)
            if kind == ADD:
                value = old + value * factor
            store(x + i, value, count=width - i)


@kernel
def edit(
    x: Pointer[f32], what: Pointer[i64], factors: Pointer[f32], values: Pointer[f32], rows: i64, row_stride: i64,
    head_stride: i64, begin: i64, end: i64,
) -> None:  # fmt: skip
    """Change rows as `what` says;  what: [rows][FIELDS], factors: [rows]; a task is a row of a head."""
    for task in range(begin, end):
        row = task % rows
        head = task // rows
        own = what + row * FIELDS
        if own[KIND] != NOTHING and (own[HEAD] < 0 or own[HEAD] == head):
            target = x + head * head_stride + row * row_stride + own[BEGIN]
            source = values + own[SOURCE] + head * own[HEAD_STEP]
            change(target, source, own[KIND], own[WIDTH], own[STEP], factors[row])
