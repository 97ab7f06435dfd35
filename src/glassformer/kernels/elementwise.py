"""Elementwise operations on f32 arrays, of one operand and of two with broadcasting."""

from glassformer.simd import Kernel, Pointer, f32, f32x16, i64, kernel, load, store
from glassformer.simd.table import Operation

CHUNK = 4096  # elements of a task


@kernel
def unary(x: Pointer[f32], out: Pointer[f32], size: i64, begin: i64, end: i64, *, F: Kernel | Operation) -> None:
    """out[i] = F(x[i]);  x, out: [size]; a task is a chunk."""
    for chunk in range(begin, end):
        start = chunk * CHUNK
        stop = min(start + CHUNK, size)
        for i in range(start, stop, 16):
            store(out + i, F(load(x + i, f32x16, count=stop - i)), count=stop - i)


@kernel
def pairs(
    x: Pointer[f32], y: Pointer[f32], out: Pointer[f32], size: i64, begin: i64, end: i64, *, F: Operation
) -> None:
    """out[i] = F(x[i], y[i]);  x, y, out: [size]; a task is a chunk."""
    for chunk in range(begin, end):
        start = chunk * CHUNK
        stop = min(start + CHUNK, size)
        for i in range(start, stop, 16):
            a = load(x + i, f32x16, count=stop - i)
            store(out + i, F(a, load(y + i, f32x16, count=stop - i)), count=stop - i)


@kernel
def binary(
    x: Pointer[f32], y: Pointer[f32], out: Pointer[f32], x_offsets: Pointer[i64], y_offsets: Pointer[i64], width: i64,
    begin: i64, end: i64, *, F: Operation, X_STEP: int, Y_STEP: int,
) -> None:  # fmt: skip
    """out[r, i] = F(x[x_offsets[r] + i * X_STEP], y[...]);  out: [rows, width]; steps are 1, or 0 to repeat.

    A task is a row.
    """
    for row in range(begin, end):
        left = x + x_offsets[row]
        right = y + y_offsets[row]
        for i in range(0, width, 16):
            a = load(left + i, f32x16, count=width - i) if X_STEP else f32x16(left[0])
            b = load(right + i, f32x16, count=width - i) if Y_STEP else f32x16(right[0])
            store(out + row * width + i, F(a, b), count=width - i)
