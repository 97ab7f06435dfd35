"""What the machine can do at most: reading memory, fused multiply-adds and eight-bit dot products, nothing else."""

from glassformer.simd import (
    Pointer,
    broadcast_4,
    clock,
    dot_u8_i8,
    f32,
    f32x16,
    fma,
    i8,
    i32,
    i32x16,
    i64,
    kernel,
    load,
    reduce_add,
    static_range,
    u8,
    u8x64,
)

PART = 65_536  # numbers of a task of `read_memory`


@kernel
def read_memory(x: Pointer[f32], sums: Pointer[f32], begin: i64, end: i64) -> None:
    """sums[task] = sum of x[task * PART : ][: PART], in 8 independent sums of 16 lanes."""
    for task in range(begin, end):
        part = x + task * PART
        total = [f32x16(0.0) for j in static_range(8)]
        for i in range(0, PART, 128):
            for j in static_range(8):
                total[j] = total[j] + load(part + i + 16 * j, f32x16)
        for j in static_range(1, 8):
            total[0] = total[0] + total[j]
        sums[task] = reduce_add(total[0])


@kernel
def multiply_add(out: Pointer[f32], factor: f32, turns: i64, begin: i64, end: i64, *, CHAINS: int) -> None:
    """out[task] = what CHAINS independent chains of 16 lanes come to, to hide the latency of each."""
    for task in range(begin, end):
        total = [f32x16(1.0) for c in static_range(CHAINS)]
        scale = f32x16(factor)
        for _ in range(turns):
            for c in static_range(CHAINS):
                total[c] = fma(total[c], scale, scale)
        for c in static_range(1, CHAINS):
            total[0] = total[0] + total[c]
        out[task] = reduce_add(total[0])


@kernel
def dot_products(
    x: Pointer[u8], y: Pointer[i8], out: Pointer[i32], turns: i64, begin: i64, end: i64, *, CHAINS: int
) -> None:
    """out[task] = the sum of CHAINS chains of dot products, chain c of x[c] with one quarter after the other of y.

    x: [CHAINS, 64], y: [16, 4]. Operands come from the nearest cache, so that no product can be left out of the loop.
    """
    for task in range(begin, end):
        total = [i32x16(0) for c in static_range(CHAINS)]
        for turn in range(turns):
            factor = broadcast_4(y + 4 * (turn & 15))
            for c in static_range(CHAINS):
                total[c] = dot_u8_i8(total[c], load(x + 64 * c, u8x64), factor)
        for c in static_range(1, CHAINS):
            total[0] = total[0] + total[c]
        out[task] = reduce_add(total[0])


@kernel
def ticks() -> i64:
    """The counter that launches are timed by, now."""
    return clock()
