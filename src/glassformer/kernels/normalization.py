"""Layer normalisation (Ba, Kiros & Hinton, 2016)."""

from glassformer.kernels.quantize import GROUP, quantize_group
from glassformer.simd import (
    Pointer,
    f32,
    f32x16,
    fma,
    i8,
    i32,
    i32x16,
    i64,
    insert,
    kernel,
    lane,
    lane_numbers,
    load,
    maximum,
    reduce_add,
    rsqrt,
    select,
    store,
)  # fmt: skip

ROUGH, SHIFT, SCALE = 0, 1, 2  # lanes of what `moments` returns


@kernel
def moments(row: Pointer[f32], width: i64, epsilon: f32) -> f32x16:
    """Mean of a row, roughly and what is missing, and 1 / sqrt(variance + epsilon), in the first lanes.

    Two passes: the variance is the mean of squared differences, which does not cancel as E[x^2] - E[x]^2 does. The
    differences' own mean is what rounding has left of the mean, and goes too (Chan, Golub & LeVeque, 1983).
    """
    total = f32x16(0.0)
    for i in range(0, width, 16):
        total = total + load(row + i, f32x16, count=width - i)
    rough = reduce_add(total) / f32(width)
    rest = f32x16(0.0)
    squares = f32x16(0.0)
    for i in range(0, width, 16):
        inside = lane_numbers(i32x16) < i32(width - i)
        difference = select(inside, load(row + i, f32x16, count=width - i) - rough, 0.0)
        rest = rest + difference
        squares = fma(difference, difference, squares)
    shift = reduce_add(rest) / f32(width)
    variance = maximum(0.0, reduce_add(squares) / f32(width) - shift * shift)
    return insert(insert(f32x16(rough), SHIFT, shift), SCALE, rsqrt(variance + epsilon))


@kernel
def normalized(x: Pointer[f32], weight: Pointer[f32], bias: Pointer[f32], found: f32x16, count: i64) -> f32x16:
    """Up to 16 elements of a row less its mean, over its deviation, scaled and shifted."""
    y = (load(x, f32x16, count=count) - lane(found, ROUGH) - lane(found, SHIFT)) * lane(found, SCALE)
    return fma(y, load(weight, f32x16, count=count), load(bias, f32x16, count=count))


@kernel
def layer_norm(
    x: Pointer[f32], weight: Pointer[f32], bias: Pointer[f32], out: Pointer[f32], width: i64, epsilon: f32,
    begin: i64, end: i64,
) -> None:  # fmt: skip
    """out[r] = (x[r] - mean) / sqrt(variance + epsilon) * weight + bias;  x, out: [rows, width]; a task is a row."""
    for r in range(begin, end):
        row = x + r * width
        found = moments(row, width, epsilon)
        for i in range(0, width, 16):
            store(out + r * width + i, normalized(row + i, weight + i, bias + i, found, width - i), count=width - i)


@kernel
def layer_norm_q8(
    x: Pointer[f32], weight: Pointer[f32], bias: Pointer[f32], codes: Pointer[i8], scales: Pointer[f32],
    sums: Pointer[i32], width: i64, epsilon: f32, begin: i64, end: i64,
) -> None:  # fmt: skip
    """The same with the result in eight bits, as `quantize_rows` would make it; width: a multiple of 32."""
    groups = width // GROUP
    for r in range(begin, end):
        row = x + r * width
        found = moments(row, width, epsilon)
        for g in range(groups):
            i = g * GROUP
            low = normalized(row + i, weight + i, bias + i, found, i64(16))
            high = normalized(row + i + 16, weight + i + 16, bias + i + 16, found, i64(16))
            place = r * groups + g
            quantize_group(low, high, codes + place * GROUP, scales + place, sums + place)


@kernel
def deviation(x: Pointer[f32], out: Pointer[f32], width: i64, epsilon: f32, begin: i64, end: i64) -> None:
    """out[r] = sqrt(variance of x[r] + epsilon), which normalisation divides by;  x: [rows, width]; a task is a row."""
    for r in range(begin, end):
        out[r] = 1.0 / lane(moments(x + r * width, width, epsilon), SCALE)
