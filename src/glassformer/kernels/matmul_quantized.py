"""Matrix products of eight-bit activations with weights of eight or four bits: exact integers within a group of 32
inputs, f32 between groups.

Every output is one chain over the groups: total = fma(dot of the group, weight scale * activation scale, total).
"""

from glassformer.kernels.epilogue import finish
from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.quantize import GROUP
from glassformer.simd import (
    Kernel,
    Pointer,
    broadcast_4,
    dot_u8_i8,
    f16,
    f16x16,
    f32,
    f32x16,
    fma,
    i8,
    i32,
    i32x16,
    i64,
    kernel,
    load,
    static_range,
    store,
    u8,
    u8x64,
)  # fmt: skip


@kernel
def tile_quantized(
    codes: Pointer[i8], scales: Pointer[f32], sums: Pointer[i32], weight: Pointer[u8], weight_scales: Pointer[f16],
    out: Pointer[f32], out_stride: i64, inputs: i64, width: i64,
    *, BITS: int, VECTORS: int, TOKENS: int,
) -> None:  # fmt: skip
    """out[t, :width] for TOKENS rows and 16 * VECTORS columns; pointers stand at the first row and column."""
    ZERO = 2 ** (BITS - 1)  # what is added to each weight to make its code
    groups = inputs // GROUP
    total = [[f32x16(0.0) for t in static_range(TOKENS)] for v in static_range(VECTORS)]
    for g in range(groups):
        dot = [[i32x16(sums[t * groups + g] * -ZERO) for t in static_range(TOKENS)] for v in static_range(VECTORS)]
        for k in static_range(0, GROUP, 32 // BITS):
            for v in static_range(VECTORS):
                w = load(weight + ((g * GROUP + k) * (BLOCK * BITS // 8) + 64 * v), u8x64)
                # Four inputs a lane; four bits hold the next four inputs in the upper halves of the bytes.
                low = w & 15 if BITS == 4 else w
                for t in static_range(TOKENS):
                    dot[v][t] = dot_u8_i8(dot[v][t], low, broadcast_4(codes + t * inputs + g * GROUP + k))
                if BITS == 4:
                    high = w >> 4
                    for t in static_range(TOKENS):
                        dot[v][t] = dot_u8_i8(dot[v][t], high, broadcast_4(codes + t * inputs + g * GROUP + k + 4))
        for v in static_range(VECTORS):
            s = f32x16(load(weight_scales + g * BLOCK + 16 * v, f16x16))
            for t in static_range(TOKENS):
                total[v][t] = fma(f32x16(dot[v][t]), s * scales[t * groups + g], total[v][t])
    for v in static_range(VECTORS):
        for t in static_range(TOKENS):
            store(out + t * out_stride + 16 * v, total[v][t], count=width - 16 * v)


@kernel
def matmul_quantized(
    codes: Pointer[i8], scales: Pointer[f32], sums: Pointer[i32], weight: Pointer[u8], weight_scales: Pointer[f16],
    bias: Pointer[f32], has_bias: i64, residual: Pointer[f32], has_residual: i64, out: Pointer[f32], rows: i64,
    inputs: i64, outputs: i64, begin: i64, end: i64,
    *, BITS: int, VECTORS: int, TOKENS: int, ACTIVATION: Kernel,
) -> None:  # fmt: skip
    """out = activations @ weights, both quantised as `glassformer.kernels.quantize` says, then what `finish` does.

    out, residual: [rows, outputs]. A task is a block of 64 outputs; its weights stay in the cache while all rows pass.
    """
    groups = inputs // GROUP
    for block in range(begin, end):
        first = block * BLOCK
        t = i64(0)
        for TILE in (TOKENS, 2, 1):
            while t + TILE <= rows:
                for V in static_range(0, BLOCK // 16, VECTORS):
                    tile_quantized(
                        codes + t * inputs, scales + t * groups, sums + t * groups,
                        weight + (block * inputs * (BLOCK * BITS // 8) + 64 * V),
                        weight_scales + (block * groups * BLOCK + 16 * V),
                        out + t * outputs + first + 16 * V, outputs, inputs, outputs - first - 16 * V,
                        BITS=BITS, VECTORS=VECTORS, TOKENS=TILE,
                    )  # fmt: skip
                place = t * outputs + first
                finish(
                    bias + first, has_bias, residual + place, has_residual, out + place, outputs, TILE,
                    min(outputs - first, BLOCK), ACTIVATION=ACTIVATION,
                )  # fmt: skip
                t += TILE
