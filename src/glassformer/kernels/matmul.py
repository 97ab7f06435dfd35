"""Matrix products in f32: register tiles of output vectors x tokens, each element one chain of fused multiply-adds
over k.

The order of that chain does not depend on the tile, so neither the number of rows nor of threads changes a bit.
"""

from glassformer.kernels.activation import identity
from glassformer.kernels.epilogue import activate, take
from glassformer.simd import (
    Kernel,
    Pointer,
    bf16,
    bitcast,
    cast,
    dot_bf16,
    f32,
    f32x16,
    fma,
    i64,
    kernel,
    load,
    prefetch,
    static_range,
    store,
    u8,
    vector,
)
from glassformer.simd.types import Value, byte_size

BLOCK = 64  # outputs whose weights lie together in a packed matrix: [blocks][inputs][BLOCK]
LINE = 64  # bytes of a cache line
AHEAD = 4096  # bytes of weights that are asked for ahead of where they are read


@kernel
def tile(
    x: Pointer[f32], x_stride: i64, weight: Pointer[u8], column: i64, k_stride: i64, bias: Pointer[f32],
    has_bias: i64, residual: Pointer[f32], has_residual: i64, out: Pointer[f32], out_stride: i64, first_k: i64,
    last_k: i64, width: i64,
    *, W: type[Value], VECTORS: int, TOKENS: int, PACKED: bool, PAIRS: bool,
) -> None:  # fmt: skip
    """Go on with out[t, :width] = x[t] @ weight[:, column :][:, :width] over inputs first_k to last_k.

    TOKENS rows, at most 16 * VECTORS columns; between the calls for one element its sum lies in `out`.
    """
    SIZE = byte_size(W)
    columns = cast(weight, W) + column
    if has_residual != 0:  # which is not waited for then
        for t in static_range(TOKENS):
            for v in static_range(VECTORS):
                prefetch(residual + (t * out_stride + 16 * v))
    begun = width if first_k > 0 else i64(0)  # a count of 0 loads zeros
    total = [
        [take(out + t * out_stride + 16 * v, begun - 16 * v) for t in static_range(TOKENS)]
        for v in static_range(VECTORS)
    ]
    for k in range(first_k, last_k):
        row = columns + k * k_stride
        if PACKED:  # four lines at once are more than the nearest cache can wait for
            for v in static_range(0, VECTORS, LINE // (16 * SIZE)):
                prefetch(cast(row + 16 * v, u8) + AHEAD, 2 if SIZE == 4 else 1)
        for v in static_range(VECTORS):
            w = load(row + 16 * v, vector(W, 16)) if PACKED else load(row + 16 * v, vector(W, 16), count=width - 16 * v)
            wide = f32x16(w)
            for t in static_range(TOKENS):
                if PAIRS:
                    both = bitcast(f32x16(x[t * x_stride + k]), vector(bf16, 32))
                    total[v][t] = dot_bf16(total[v][t], bitcast(wide, vector(bf16, 32)), both)
                else:
                    total[v][t] = fma(wide, x[t * x_stride + k], total[v][t])
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
def matmul(
    x: Pointer[f32], weight: Pointer[u8], bias: Pointer[f32], has_bias: i64, residual: Pointer[f32], has_residual: i64,
    out: Pointer[f32], x_offsets: Pointer[i64], weight_offsets: Pointer[i64], rows: i64, inputs: i64, outputs: i64,
    x_stride: i64, k_stride: i64, block_stride: i64, depth: i64, begin: i64, end: i64,
    *, W: type[Value], VECTORS: int, TILES: tuple[int, ...], PACKED: bool, PAIRS: bool,
    ACTIVATION: Kernel,
) -> None:  # fmt: skip
    """out[b] = x[b] @ weight[b], then the epilogue; weights of type W.

    x[b]: [rows, inputs], weight[b]: [inputs, outputs], out, residual: [batch, rows, outputs]. Offsets (in elements) say
    where each item of the batch begins. A task is a block of columns of one item. Of its weights, `depth` inputs at a
    time stay in the nearest cache while all rows pass, TILES[0] at a time, what remains by the further ones. With
    PAIRS, what stands for one f32 in x and weight is a pair of bf16, and `inputs` counts pairs.
    """
    ACTIVATED = ACTIVATION is not identity  # then the residual is added behind it
    blocks = (outputs + BLOCK - 1) // BLOCK
    for task in range(begin, end):
        item = task // blocks
        first = task % blocks * BLOCK
        column = weight_offsets[item] + task % blocks * block_stride
        source = x + x_offsets[item]
        place = item * rows * outputs + first
        for first_k in range(0, max(inputs, 1), depth):
            last_k = min(first_k + depth, inputs)
            last = last_k == inputs
            t = i64(0)
            for TILE in TILES:
                # As many registers for few rows as for many: sums that wait for themselves need others between.
                WIDE = 4 if VECTORS * TILES[0] >= 4 * TILE else 2 if VECTORS * TILES[0] >= 2 * TILE else 1
                while t + TILE <= rows:
                    target = place + t * outputs
                    for V in static_range(0, BLOCK // 16, WIDE):
                        if PACKED or first + 16 * V < outputs:
                            tile(
                                source + t * x_stride, x_stride, weight, column + 16 * V, k_stride,
                                bias + first + 16 * V, has_bias if last else i64(0), residual + target + 16 * V,
                                has_residual if last and not ACTIVATED else i64(0), out + target + 16 * V, outputs,
                                first_k, last_k, outputs - first - 16 * V,
                                W=W, VECTORS=WIDE, TOKENS=TILE, PACKED=PACKED, PAIRS=PAIRS,
                            )  # fmt: skip
                    if last:
                        activate(
                            residual + target, has_residual, out + target, outputs, TILE, min(outputs - first, BLOCK),
                            ACTIVATION=ACTIVATION,
                        )  # fmt: skip
                    t += TILE
