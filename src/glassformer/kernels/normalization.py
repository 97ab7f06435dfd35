"""Layer normalisation (Ba, Kiros & Hinton, 2016)."""

from glassformer.simd import (
    Pointer,
    f32,
    f32x16,
    fma,
    i32,
    i32x16,
    i64,
    kernel,
    lane_numbers,
    load,
    maximum,
    reduce_add,
    rsqrt,
    select,
    store,
)  # fmt: skip


@kernel
def layer_norm(
    x: Pointer[f32], weight: Pointer[f32], bias: Pointer[f32], out: Pointer[f32], width: i64, epsilon: f32,
    begin: i64, end: i64,
) -> None:  # fmt: skip
    """out[r] = (x[r] - mean) / sqrt(variance + epsilon) * weight + bias;  x, out: [rows, width]; a task is a row.

    Two passes: the variance is the mean of squared differences, which does not cancel as E[x^2] - E[x]^2 does. The
    differences' own mean is what rounding has left of the mean, and goes too (Chan, Golub & LeVeque, 1983).
    """
    for r in range(begin, end):
        row = x + r * width
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
        scale = rsqrt(variance + epsilon)
        for i in range(0, width, 16):
            normalized = (load(row + i, f32x16, count=width - i) - rough - shift) * scale
            scaled = fma(normalized, load(weight + i, f32x16, count=width - i), load(bias + i, f32x16, count=width - i))
            store(out + r * width + i, scaled, count=width - i)
