"""Matrix products of eight-bit activations with weights of eight or four bits: exact integers within a group of 32
inputs, f32 between groups.

Every output is one chain over the groups: total = fma(dot of the group, weight scale * activation scale, total).
"""

from glassformer.kernels.activation import identity
from glassformer.kernels.epilogue import activate
from glassformer.kernels.matmul import BLOCK, LINE
from glassformer.kernels.quantize import GROUP, quantize_group
from glassformer.simd import (
    Kernel,
    Pointer,
    absolute,
    add_pairs,
    apply_sign,
    bitcast,
    broadcast_4,
    dot_u8_i8,
    f16,
    f16x16,
    f32,
    f32x16,
    fma,
    i8,
    i8x64,
    i16x32,
    i32,
    i32x16,
    i64,
    kernel,
    load,
    multiply_pairs,
    prefetch,
    static_range,
    store,
    u8,
    u8x64,
)  # fmt: skip

AHEAD = 4096  # bytes that few rows ask ahead of where they read; twice that where products come by pairs, see below
SCALES_AHEAD = 8  # groups
FOURS = 24  # most rows that pass by fours; sums of more than three rows do not all stay in registers
STEP = 8  # inputs whose products are written out; the loop over the rest of a group is not, which compiles fast


@kernel
def add_products(total: i32x16, weight: u8x64, x: i8x64, *, PAIRS: bool) -> i32x16:
    """total + weight . x by fours, x within 127 of 0; with PAIRS, (weight - 128) . x.

    Of |w| and x with w's sign, two products stay within 16 bits, which those of w + 128 would not.
    """
    if PAIRS:
        w = bitcast(weight ^ 128, i8x64)
        total = add_pairs(total, multiply_pairs(bitcast(absolute(w), u8x64), apply_sign(x, w)))
    else:
        total = dot_u8_i8(total, weight, x)
    return total


@kernel
def ask_ahead(memory: Pointer[u8], first: i64, lines: i64, scales: Pointer[f16]) -> None:
    """Ask for lines of memory (in fours) and for the scales of a group."""
    for line in range(first, first + lines, 4):
        for i in static_range(4):
            prefetch(memory + (line + i) * LINE, 2)
    prefetch(scales, 2)
    prefetch(scales + BLOCK // 2, 2)


@kernel
def tile_quantized(
    codes: Pointer[i8], scales: Pointer[f32], sums: Pointer[i32], weight: Pointer[u8], weight_scales: Pointer[f16],
    bias: Pointer[f32], has_bias: i64, residual: Pointer[f32], has_residual: i64, out: Pointer[f32], out_stride: i64,
    inputs: i64, width: i64, ahead: Pointer[u8], lines: i64,
    *, BITS: int, VECTORS: int, TOKENS: int, PAIRS: bool,
) -> None:  # fmt: skip
    """out[t, :width] for TOKENS rows and 16 * VECTORS columns; pointers stand at the first row and column.

    Meanwhile it asks for the memory at `ahead`, so many lines for each group. PAIRS: without the instruction for whole
    dot products, by those of pairs, to the same integers.
    """
    ZERO = 2 ** (BITS - 1)  # what is added to each weight to make its code
    NARROW = PAIRS and BITS == 4  # a group's products with 0 to 15 stay within 16 bits until they are summed
    groups = inputs // GROUP
    if has_residual != 0:  # which is not waited for then
        for t in static_range(TOKENS):
            for v in static_range(VECTORS):
                prefetch(residual + (t * out_stride + 16 * v))
    total = [[f32x16(0.0) for t in static_range(TOKENS)] for v in static_range(VECTORS)]
    for g in range(groups):
        ask_ahead(ahead, g * lines, lines, weight_scales + (g + SCALES_AHEAD) * BLOCK)
        dot = [[i16x32(0) if NARROW else i32x16(0) if PAIRS else i32x16(sums[t * groups + g] * -ZERO)
                for t in static_range(TOKENS)] for v in static_range(VECTORS)]  # fmt: skip
        for first in range(g * GROUP, g * GROUP + GROUP, STEP):
            for k in static_range(0, STEP, 32 // BITS):
                for v in static_range(VECTORS):
                    w = load(weight + ((first + k) * (BLOCK * BITS // 8) + 64 * v), u8x64)
                    # Four inputs a lane; four bits hold the next four inputs in the upper halves of the bytes.
                    for half in static_range(8 // BITS):
                        some = w if BITS == 8 else w & 15 if half == 0 else w >> 4
                        for t in static_range(TOKENS):
                            x = broadcast_4(codes + (t * inputs + first + k + 4 * half))
                            if NARROW:
                                dot[v][t] = dot[v][t] + multiply_pairs(some, x)
                            else:
                                dot[v][t] = add_products(dot[v][t], some, x, PAIRS=PAIRS)
        for v in static_range(VECTORS):
            s = f32x16(load(weight_scales + g * BLOCK + 16 * v, f16x16))
            for t in static_range(TOKENS):
                whole = add_pairs(i32x16(sums[t * groups + g] * -ZERO), dot[v][t]) if NARROW else dot[v][t]
                total[v][t] = fma(f32x16(whole), s * scales[t * groups + g], total[v][t])
    if has_bias != 0:
        for v in static_range(VECTORS):
            b = load(bias + 16 * v, f32x16, count=width - 16 * v)
            for t in static_range(TOKENS):
                total[v][t] = total[v][t] + b
    if has_residual != 0:
        for v in static_range(VECTORS):
            for t in static_range(TOKENS):
                r = load(residual + t * out_stride + 16 * v, f32x16, count=width - 16 * v)
                total[v][t] = r + total[v][t]
    if width >= 16 * VECTORS:  # what a masked store wrote is not at once there to be read
        for v in static_range(VECTORS):
            for t in static_range(TOKENS):
                store(out + t * out_stride + 16 * v, total[v][t])
    else:
        for v in static_range(VECTORS):
            for t in static_range(TOKENS):
                store(out + t * out_stride + 16 * v, total[v][t], count=width - 16 * v)


@kernel
def quantize_tile(
    y: Pointer[f32], codes: Pointer[i8], scales: Pointer[f32], sums: Pointer[i32], rows: i64, place: i64, outputs: i64,
    width: i64,
) -> None:  # fmt: skip
    """Rows of a block's results, y: [rows, BLOCK] of which `width` count, to eight bits at `place` of [.., outputs]."""
    for t in range(rows):
        for group in range(0, min(width, BLOCK), GROUP):
            low = load(y + (t * BLOCK + group), f32x16)
            high = load(y + (t * BLOCK + group + 16), f32x16)
            at = place + t * outputs + group
            quantize_group(low, high, codes + at, scales + at // GROUP, sums + at // GROUP)


@kernel
def matmul_quantized(
    codes: Pointer[i8], scales: Pointer[f32], sums: Pointer[i32], weight: Pointer[u8], weight_scales: Pointer[f16],
    bias: Pointer[f32], has_bias: i64, residual: Pointer[f32], has_residual: i64, out: Pointer[f32], rows: i64,
    inputs: i64, outputs: i64, out_codes: Pointer[i8], out_scales: Pointer[f32], out_sums: Pointer[i32],
    begin: i64, end: i64, *, BITS: int, VECTORS: int, TILES: tuple[int, ...], PAIRS: bool, ACTIVATION: Kernel,
    QUANTIZE: bool,
) -> None:  # fmt: skip
    """out = activations @ weights, both quantised as `glassformer.kernels.quantize` says, then the epilogue.

    out, residual: [rows, outputs]. A task is a block of 64 outputs; its weights stay in the cache while all rows pass.
    Few rows ask for weights a little ahead of where they read; many ask for the next block, each tile for its part, so
    that memory works while they compute. QUANTIZE: the results are left in eight bits, in `out_codes` and so on; `out`
    has room for the rows of a tile, [blocks][most rows of a tile][BLOCK], and there is no residual.
    """
    groups = inputs // GROUP
    size = inputs * (BLOCK * BITS // 8)  # bytes of a block
    group_lines = GROUP * BLOCK * BITS // 8 // LINE
    ACTIVATED = ACTIVATION is not identity  # then the residual is added behind it
    few = rows <= TILES[0]
    far_lines = (group_lines * TILES[0] // rows + 4) // 4 * 4
    stride = i64(BLOCK) if QUANTIZE else outputs
    for block in range(begin, end):
        first = block * BLOCK
        here = weight + block * size
        near = few or block == begin  # nobody has asked for this one before
        ahead = here + ((2 * AHEAD if PAIRS else AHEAD) if near else size)
        lines = group_lines if near else far_lines
        missing = size // LINE if near or block + 1 < end else i64(0)
        t = i64(0)
        for TILE in TILES:
            WIDE = 4 if VECTORS * TILES[0] >= 4 * TILE or VECTORS == 4 else 2 if VECTORS * TILES[0] >= 2 * TILE else 1
            while t + TILE <= rows and (TILE != 4 or 3 not in TILES or rows <= FOURS):
                place = t * outputs + first
                target = out + (block * (max(TILES) * BLOCK) if QUANTIZE else place)
                for V in static_range(0, BLOCK // 16, WIDE):
                    tile_quantized(
                        codes + t * inputs, scales + t * groups, sums + t * groups, here + 64 * V,
                        weight_scales + (block * groups * BLOCK + 16 * V), bias + first + 16 * V, has_bias,
                        residual + place + 16 * V, 0 if ACTIVATED else has_residual, target + 16 * V, stride,
                        inputs, outputs - first - 16 * V, ahead, lines if V == 0 and missing > 0 else i64(0),
                        BITS=BITS, VECTORS=WIDE, TOKENS=TILE, PAIRS=PAIRS,
                    )  # fmt: skip
                activate(
                    residual + place, has_residual, target, stride, TILE, min(outputs - first, BLOCK),
                    ACTIVATION=ACTIVATION,
                )  # fmt: skip
                if QUANTIZE:
                    quantize_tile(target, out_codes, out_scales, out_sums, TILE, place, outputs, outputs - first)
                t += TILE
                missing -= lines * groups
                ahead = ahead + lines * (groups * LINE)
                if near and not few:  # from the second tile on, ask for the next block
                    near = False
                    ahead = here + size
                    lines = far_lines
                    missing = size // LINE if block + 1 < end else i64(0)
