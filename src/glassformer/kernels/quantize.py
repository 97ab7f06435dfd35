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
    cast,
    f16,
    f32,
    f32x16,
    fma,
    gather,
    i8,
    i8x16,
    i32,
    i32x16,
    i64,
    i64x16,
    kernel,
    lane_numbers,
    load,
    maximum,
    reduce_add,
    reduce_max,
    round_even,
    saturate,
    select,
    static_range,
    store,
    u8,
    vector,
)  # fmt: skip
from glassformer.simd.types import Value

GROUP = 32
CANDIDATES = 12  # scales that are tried for a group of four-bit weights


@kernel
def codes_of(x: f32x16, inverse: f32x16, *, BITS: int) -> i32x16:
    """Codes of 16 weights: rounded, kept within the bits, moved up to start at 0."""
    LOW, HIGH = -(2 ** (BITS - 1)) + (1 if BITS == 8 else 0), 2 ** (BITS - 1) - 1
    q = saturate(round_even(x * inverse), i32x16)
    return select(q > HIGH, HIGH, select(q < LOW, LOW, q)) + 2 ** (BITS - 1)


@kernel
def reciprocal(scale: f32x16) -> f32x16:
    """1 / scale, 0 where the scale is 0."""
    return select(absolute(scale) > 0.0, 1.0 / scale, 0.0)


@kernel
def pack_quantized(
    source: Pointer[u8], packed: Pointer[u8], scales: Pointer[f16], inputs: i64, outputs: i64, k_stride: i64,
    n_stride: i64, begin: i64, end: i64, *, FROM: type[Value], BITS: int,
) -> None:  # fmt: skip
    """Quantise source[k * k_stride + n * n_stride] (strides in elements); inputs: a multiple of 32; a task is a block.

    Eight bits: the scale is the group's largest magnitude over 127. Four bits: of scales around the one that makes the
    largest magnitude -8, that with the smallest squared error. Scales are rounded to f16 before codes are made for
    them.
    """
    values = cast(source, FROM)
    groups = inputs // GROUP
    for block in range(begin, end):
        for group in range(groups):
            for v in static_range(0, BLOCK, 16):
                lanes = lane_numbers(i64x16) + (block * BLOCK + v)
                inside = lanes < outputs
                place = lanes * n_stride
                first = values + group * GROUP * k_stride
                largest = f32x16(0.0)  # with its sign
                poison = f32x16(0.0)  # NaN where the group holds NaN or infinity, so that its scale tells
                for k in range(GROUP):
                    x = f32x16(gather(first + k * k_stride, place, inside))
                    largest = select(absolute(x) > absolute(largest), x, largest)
                    poison = fma(x, 0.0, poison)
                if BITS == 8:
                    scale = vector(f16, 16)(absolute(largest) / 127.0 + poison)
                else:
                    best = f32x16(float("inf"))
                    scale = vector(f16, 16)(poison)
                    for attempt in range(CANDIDATES):
                        trial = vector(f16, 16)(largest / (-7.0 - f32(attempt) * 0.25) + poison)
                        wide = f32x16(trial)
                        inverse = reciprocal(wide)
                        error = f32x16(0.0)
                        for k in range(GROUP):
                            x = f32x16(gather(first + k * k_stride, place, inside))
                            off = f32x16(codes_of(x, inverse, BITS=4) - 8) * wide - x
                            error = fma(off, off, error)
                        better = error < best
                        best = select(better, error, best)
                        scale = select(better, trial, scale)
                store(scales + (block * groups + group) * BLOCK + v, scale)
                inverse = reciprocal(f32x16(scale))
                for k in range(0, GROUP, 32 // BITS):
                    word = i32x16(0)
                    for j in static_range(32 // BITS):
                        x = f32x16(gather(first + (k + j) * k_stride, place, inside))
                        # Input j sits in byte j % 4, from the fifth input on in the upper half.
                        word = word | (codes_of(x, inverse, BITS=BITS) << (j % 4 * 8 + j // 4 * 4))
                    at = (block * inputs + group * GROUP + k) * (BLOCK * BITS // 8) + v * 4
                    store(cast(packed + at, i32), word)


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
            source = x + r * width + g * GROUP
            low, high = load(source, f32x16), load(source + 16, f32x16)
            largest = reduce_max(maximum(absolute(low), absolute(high)))
            # NaN or infinity among the activations makes the scale, and so every output, NaN.
            scale = largest / f32(127.0) + reduce_add(low * 0.0 + high * 0.0)
            inverse = f32(127.0) / largest if largest > 0.0 else f32(0.0)
            total = i32(0)
            for half in static_range(2):
                code = saturate(round_even((low if half == 0 else high) * inverse), i32x16)
                total += reduce_add(code)
                store(codes + r * width + g * GROUP + 16 * half, i8x16(code))
            scales[r * groups + g] = scale
            sums[r * groups + g] = total


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
