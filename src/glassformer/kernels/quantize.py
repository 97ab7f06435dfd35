"""Weights of eight or four bits and activations of eight, in groups of 32 along the inputs, each with a scale.

A weight is kept as code = q + 2^(bits - 1), q being the weight over its scale, with an f16 scale for each group and
output; an activation as i8 with an f32 scale for each group and row. Layouts: weights of eight bits
[blocks][inputs / 4][64 outputs][4 inputs]; of four bits [blocks][inputs / 8][64 outputs][4 bytes], byte j holding
inputs j (lower half) and j + 4; their scales [blocks][groups][64 outputs]; activations [rows][inputs], their scales and
sums [rows][groups].
"""

from glassformer.kernels.matmul import BLOCK
from glassformer.simd import (
    Pointer,
    absolute,
    bitcast,
    f16,
    f32,
    f32x16,
    f32xN,
    i8,
    i8x16,
    i32,
    i32x16,
    i64,
    kernel,
    load,
    maximum,
    reduce_add,
    reduce_max,
    select,
    store,
    u8,
)  # fmt: skip

GROUP = 32


@kernel
def reciprocal(scale: f32xN) -> f32xN:
    """1 / scale, 0 where the scale is 0 or NaN."""
    return select(absolute(scale) > 0.0, 1.0 / scale, 0.0)


@kernel
def nearest(x: f32x16) -> i32x16:
    """The nearest whole numbers, ties to even, of numbers within 2^22 of 0; whatever for NaN.

    Added to 1.5 * 2^23, whose last place is 1, a number is rounded as every sum is, and stands in the lowest bits.
    """
    return bitcast(x + 12582912.0, i32x16) - 0x4B400000


@kernel
def quantize_group(low: f32x16, high: f32x16, codes: Pointer[i8], scale: Pointer[f32], total: Pointer[i32]) -> None:
    """Quantise the 32 numbers of a group.

    Magnitudes compare as the integers of their bits do, NaN above infinity above all else, so that one maximum finds
    what is to be found: infinity or NaN makes the scale, and so every output, NaN.
    """
    MAGNITUDE = 0x7FFFFFFF
    largest = bitcast(reduce_max(maximum(bitcast(low, i32x16) & MAGNITUDE, bitcast(high, i32x16) & MAGNITUDE)), f32)
    inverse = f32(127.0) / largest if largest > 0.0 else f32(0.0)
    first = nearest(low * inverse)
    second = nearest(high * inverse)
    store(codes, i8x16(first))
    store(codes + 16, i8x16(second))
    scale[0] = largest / f32(127.0) + (largest - largest)
    total[0] = reduce_add(first + second)


@kernel
def quantize_rows(
    x: Pointer[f32], codes: Pointer[i8], scales: Pointer[f32], sums: Pointer[i32], width: i64, begin: i64, end: i64
) -> None:
    """Quantise rows of activations.

    x, codes: [rows, width], scales, sums: [rows, width / 32]; a task is a row. `sums` holds the sum of a group's codes:
    what was added to each weight brings a multiple of it into a dot product.
    """
    groups = width // GROUP
    for r in range(begin, end):
        for g in range(groups):
            at = r * width + g * GROUP
            low, high = load(x + at, f32x16), load(x + at + 16, f32x16)
            quantize_group(low, high, codes + at, scales + (r * groups + g), sums + (r * groups + g))


@kernel
def embedding_q8(
    codes: Pointer[u8], scales: Pointer[f16], ids: Pointer[i32], out: Pointer[f32], width: i64, begin: i64, end: i64
) -> None:
    """out[i] = output ids[i] of an eight-bit matrix [width, outputs], as f32;  out: [count, width]; a task is a row."""
    for i in range(begin, end):
        row = i64(ids[i])
        block = row // BLOCK
        column = row % BLOCK
        for k in range(width):
            code = codes[(block * width + k // 4 * 4) * BLOCK + column * 4 + k % 4]
            scale = scales[(block * (width // GROUP) + k // GROUP) * BLOCK + column]
            out[i * width + k] = f32(i32(code) - 128) * f32(scale)
