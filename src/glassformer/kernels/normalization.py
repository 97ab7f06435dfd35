"""Layer normalisation (Ba, Kiros & Hinton, 2016)."""

from glassformer.simd import Pointer, f32, f32x16, fma, i32, i32x16, i64, kernel, lane_numbers, load, reduce_add, rsqrt, select, store


@kernel
def layer_norm(
    x: Pointer[f32], weight: Pointer[f32], bias: Pointer[f32], out: Pointer[f32], width: i64, epsilon: f32, begin: i64, end: i64
) -> None:
    """out[r] = (x[r] - mean) / sqrt(variance + epsilon) * weight + bias;  x, out: [rows, width]; a task is a row.

    Two passes: the variance is the mean of squared differences, which does not cancel as E[x^2] - E[x]^2 does.
    """
    for r in range(begin, end):
        row = x + r * width
        total = f32x16(0.0)
        for i in range(0, width, 16):
            total = total + load(row + i, f32x16, count=width - i)
        mean = reduce_add(total) / f32(width)
        squares = f32x16(0.0)
        for i in range(0, width, 16):
            inside = lane_numbers(i32x16) < i32(width - i)
            difference = select(inside, load(row + i, f32x16, count=width - i) - mean, 0.0)
            squares = fma(difference, difference, squares)
        scale = rsqrt(reduce_add(squares) / f32(width) + epsilon)
        for i in range(0, width, 16):
            normalized = (load(row + i, f32x16, count=width - i) - mean) * scale
            scaled = fma(normalized, load(weight + i, f32x16, count=width - i), load(bias + i, f32x16, count=width - i))
            store(out + r * width + i, scaled, count=width - i)
