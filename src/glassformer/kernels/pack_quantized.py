"""Weights into codes of eight or four bits with a scale for each 32 inputs; layouts: `glassformer.kernels.quantize`.

Eight bits: the scale is the group's largest magnitude over 127. Four bits: of scales around the one that makes the
largest magnitude -8, that with the smallest squared error. Scales are rounded to f16 before codes are made for them.

A group of 32 inputs of 16 outputs is read once, into 32 vectors, whichever way the matrix lies.
"""

from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.quantize import GROUP, reciprocal
from glassformer.simd import (
    Pointer,
    absolute,
    cast,
    f16,
    f32,
    f32x16,
    fma,
    i32,
    i32x16,
    i64,
    interleave_high,
    interleave_low,
    kernel,
    load,
    maximum,
    minimum,
    round_even,
    select,
    static_range,
    store,
    u8,
    vector,
)  # fmt: skip
from glassformer.simd.types import Value

LANES = 16  # outputs of a vector
CANDIDATES = 12  # scales that are tried for a group of four-bit weights


@kernel
def rounded(x: f32x16, inverse: f32x16, *, BITS: int) -> f32x16:
    """16 weights over their scales, rounded and kept within the bits; still numbers, which compare and add fast."""
    LOW, HIGH = -(2 ** (BITS - 1)) + (1 if BITS == 8 else 0), 2 ** (BITS - 1) - 1
    return maximum(minimum(round_even(x * inverse), float(HIGH)), float(LOW))


@kernel
def code_of(x: f32x16, inverse: f32x16, *, BITS: int) -> i32x16:
    """Codes of 16 weights, which start at 0."""
    return i32x16(rounded(x, inverse, BITS=BITS)) + 2 ** (BITS - 1)


@kernel
def pack_quantized(
    source: Pointer[u8], packed: Pointer[u8], scales: Pointer[f16], inputs: i64, outputs: i64, begin: i64, end: i64,
    *, FROM: type[Value], BITS: int, TRANSPOSED: bool,
) -> None:  # fmt: skip
    """Quantise source[inputs, outputs], or [outputs, inputs] where TRANSPOSED; a task is a block of 64 outputs."""
    values = cast(source, FROM)
    groups = inputs // GROUP
    for block in range(begin, end):
        for group in range(groups):
            for v in range(0, BLOCK, LANES):
                first = block * BLOCK + v
                x = [f32x16(0.0) for k in static_range(GROUP)]  # x[k]: input k of 16 outputs
                if TRANSPOSED:
                    for half in static_range(0, GROUP, LANES):
                        corner = values + first * inputs + group * GROUP + half
                        for n in static_range(LANES):
                            there = i64(LANES) if first + n < outputs else i64(0)  # no row, nothing to read
                            x[half + n] = f32x16(load(corner + n * inputs, vector(FROM, LANES), count=there))
                        # Four perfect shuffles of the rows' lanes exchange rows and lanes.
                        for _ in static_range(4):
                            low = [interleave_low(x[half + n], x[half + n + 8]) for n in static_range(8)]
                            high = [interleave_high(x[half + n], x[half + n + 8]) for n in static_range(8)]
                            for n in static_range(8):
                                x[half + 2 * n] = low[n]
                                x[half + 2 * n + 1] = high[n]
                else:
                    corner = values + group * GROUP * outputs + first
                    for k in static_range(GROUP):
                        x[k] = f32x16(load(corner + k * outputs, vector(FROM, LANES), count=outputs - first))
                largest = f32x16(0.0)  # with its sign
                poison = f32x16(0.0)  # NaN where the group holds NaN or infinity, so that its scale tells
                for k in static_range(GROUP):
                    largest = select(absolute(x[k]) > absolute(largest), x[k], largest)
                    poison = fma(x[k], 0.0, poison)
                if BITS == 8:
                    scale = vector(f16, 16)(absolute(largest) / 127.0 + poison)
                else:
                    best = f32x16(float("inf"))
                    # Where no scale can be held in f16 this one, infinite, stays: results tell, as they do of poison.
                    scale = vector(f16, 16)(largest / -8.0 + poison)
                    for attempt in range(CANDIDATES):
                        trial = vector(f16, 16)(largest / (-7.0 - f32(attempt) * 0.25) + poison)
                        wide = f32x16(trial)
                        inverse = reciprocal(wide)
                        error = f32x16(0.0)
                        for k in static_range(GROUP):
                            off = rounded(x[k], inverse, BITS=4) * wide - x[k]
                            error = fma(off, off, error)
                        better = error < best
                        best = select(better, error, best)
                        scale = select(better, trial, scale)
                store(scales + (block * groups + group) * BLOCK + v, scale)
                inverse = reciprocal(f32x16(scale))
                for k in static_range(0, GROUP, 32 // BITS):
                    word = i32x16(0)
                    for j in static_range(32 // BITS):
                        # Input j sits in byte j % 4, from the fifth input on in the upper half.
                        word = word | (code_of(x[k + j], inverse, BITS=BITS) << (j % 4 * 8 + j // 4 * 4))
                    at = (block * inputs + group * GROUP + k) * (BLOCK * BITS // 8) + v * 4
                    store(cast(packed + at, i32), word)
