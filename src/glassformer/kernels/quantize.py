"""Eight-bit weights and activations in groups of 32 along the inputs, each group with a scale of its own.

A weight is kept as u8 = q + 128, q in [-127, 127], with an f16 scale for each group and output; an activation as i8
with an f32 scale for each group and row. Layouts: weights [blocks][inputs / 4][64 outputs][4 inputs], their scales
[blocks][groups][64 outputs]; activations [rows][inputs], their scales and sums [rows][groups].
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


@kernel
def pack_q8(
    source: Pointer[u8], packed: Pointer[u8], scales: Pointer[f16], inputs: i64, outputs: i64, k_stride: i64,
    n_stride: i64, begin: i64, end: i64, *, FROM: type[Value],
) -> None:  # fmt: skip
    """Quantise source[k * k_stride + n * n_stride] (strides in elements); inputs: a multiple of 32; a task is a block.

    The scale of a group is its largest magnitude over 127, rounded to f16 before it is used, so that the codes fit it.
    """
    values = cast(source, FROM)
    groups = inputs // GROUP
    for block in range(begin, end):
        for group in range(groups):
            for v in static_range(0, BLOCK, 16):
                lanes = lane_numbers(i64x16) + (block * BLOCK + v)
                inside = lanes < outputs
                place = lanes * n_stride
                largest = f32x16(0.0)
                poison = f32x16(0.0)  # NaN where the group holds NaN or infinity, so that its scale tells
                for k in range(group * GROUP, group * GROUP + GROUP):
                    x = f32x16(gather(values + k * k_stride, place, inside))
                    largest = maximum(absolute(x), largest)
                    poison = fma(x, 0.0, poison)
                scale = vector(f16, 16)(largest / 127.0 + poison)
                store(scales + (block * groups + group) * BLOCK + v, scale)
                wide = f32x16(scale)
                inverse = select(wide > 0.0, 1.0 / wide, 0.0)
                for k in range(group * GROUP, group * GROUP + GROUP, 4):
                    word = i32x16(0)
                    for j in static_range(4):
                        x = f32x16(gather(values + (k + j) * k_stride, place, inside))
                        code = saturate(round_even(x * inverse), i32x16)
                        code = select(code > 127, 127, select(code < -127, -127, code)) + 128
                        word = word | (code << (8 * j))
                    target = packed + ((block * inputs + k) * BLOCK + v * 4)
                    store(cast(target, i32), word)


@kernel
def quantize_rows(
    x: Pointer[f32], codes: Pointer[i8], scales: Pointer[f32], sums: Pointer[i32], width: i64, begin: i64, end: i64
) -> None:
    """Quantise rows of activations;  x, codes: [rows, width], scales, sums: [rows, width / 32]; a task is a row.

    `sums` holds -128 times the sum of a group's codes: what the 128 added to each weight brings into a dot product,
    negated.
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
            sums[r * groups + g] = total * -128


@kernel
def embedding_q8(
    codes: Pointer[u8], scales: Pointer[f16], ids: Pointer[i32], out: Pointer[f32], width: i64, begin: i64, end: i64
) -> None:
    """out[i] = output ids[i] of a quantised matrix [width, outputs], as f32;  out: [count, width]; a task is a row."""
    for i in range(begin, end):
        row = i64(ids[i])
        block = row // BLOCK
        column = row % BLOCK
        for k in range(width):
            code = codes[(block * width + k // 4 * 4) * BLOCK + column * 4 + k % 4]
            scale = scales[(block * (width // GROUP) + k // GROUP) * BLOCK + column]
            out[i * width + k] = f32(i32(code) - 128) * f32(scale)
