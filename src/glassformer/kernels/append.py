"""New keys and values on their way into the pages of a cache; `glassformer.kernels.attention` says how these lie."""

from glassformer.kernels.pages import KEYS, POSITION, ROW, ROWS, TABLE, TILE
from glassformer.kernels.quantize import reciprocal
from glassformer.simd import (
    Pointer,
    absolute,
    cast,
    f16,
    f16x16,
    f32,
    f32x16,
    fma,
    gather,
    i8,
    i8x16,
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
    store,
    u8,
    vector,
)  # fmt: skip
from glassformer.simd.types import Value


@kernel
def append_key(
    k: Pointer[f32], chunk: Pointer[u8], slot: i64, head_dim: i64, inverse: f32, *, W: type[Value], QUANTIZED: bool
) -> None:
    """Write one position's key [head_dim] into its chunk."""
    column = cast(chunk, W) + slot // 16 * 16 * head_dim + slot % 16
    for d in range(head_dim):
        if QUANTIZED:
            column[d * 16] = saturate(round_even(k[d] * inverse), i8)
        else:
            column[d * 16] = W(k[d])


@kernel
def append_keys(
    k: Pointer[f32], chunk: Pointer[u8], slot: i64, row_stride: i64, head_dim: i64, scales: Pointer[f16],
    *, W: type[Value], QUANTIZED: bool,
) -> None:  # fmt: skip
    """The same for 16 positions, of which `slot` is the first and a multiple of 16: whole vectors are written."""
    column = cast(chunk, W) + slot * head_dim
    rows = lane_numbers(i64x16) * row_stride
    for d in range(head_dim):
        x = gather(k + d, rows)
        if QUANTIZED:
            inverse = reciprocal(f32x16(load(scales + slot, f16x16)))
            store(column + d * 16, saturate(round_even(x * inverse), i8x16))
        else:
            store(column + d * 16, vector(W, 16)(x))


@kernel
def append_value(
    v: Pointer[f32], chunk: Pointer[u8], slot: i64, head_dim: i64, padded: i64, inverse: f32,
    *, W: type[Value], QUANTIZED: bool,
) -> None:  # fmt: skip
    """Write one position's value [head_dim] into its chunk."""
    row = cast(chunk, W) + KEYS * head_dim + slot * padded
    for d in range(0, head_dim, 16):
        x = load(v + d, f32x16, count=head_dim - d)
        if QUANTIZED:
            store(row + d, saturate(round_even(x * inverse), i8x16), count=head_dim - d)
        else:
            store(row + d, vector(W, 16)(x), count=head_dim - d)


@kernel
def eight_bit_scale(x: Pointer[f32], head_dim: i64) -> f16:
    """The largest magnitude over 127; NaN where x [head_dim] holds NaN or infinity, so that results tell."""
    largest = f32x16(0.0)
    poison = f32x16(0.0)
    for d in range(0, head_dim, 16):
        part = load(x + d, f32x16, count=head_dim - d)
        largest = maximum(largest, absolute(part))
        poison = fma(part, 0.0, poison)
    return f16(reduce_max(largest) / 127.0 + reduce_add(poison))


@kernel
def append_tile(
    k: Pointer[f32], v: Pointer[f32], inside: Pointer[u8], tile: Pointer[i64], table: Pointer[i64], row_stride: i64,
    block_stride: i64, head_dim: i64, padded: i64, *, W: type[Value], QUANTIZED: bool,
) -> None:  # fmt: skip
    """Write a tile's new keys and values of one head; pointers stand at the head, `inside` at its chunk in block 0."""
    whole = tile[ROWS] == 16 and tile[POSITION] % 16 == 0
    for i in range(tile[ROWS]):
        slot = (tile[POSITION] + i) % KEYS
        chunk = inside + table[tile[TABLE] + (tile[POSITION] + i) // KEYS] * block_stride
        scales = cast(cast(chunk, W) + KEYS * (head_dim + padded), f16)
        key = k + (tile[ROW] + i) * row_stride
        value = v + (tile[ROW] + i) * row_stride
        key_inverse = f32(1.0)
        value_inverse = f32(1.0)
        if QUANTIZED:
            scales[slot] = eight_bit_scale(key, head_dim)
            scales[KEYS + slot] = eight_bit_scale(value, head_dim)
            key_inverse = reciprocal(f32(scales[slot]))
            value_inverse = reciprocal(f32(scales[KEYS + slot]))
        append_value(value, chunk, slot, head_dim, padded, value_inverse, W=W, QUANTIZED=QUANTIZED)
        if not whole:
            append_key(key, chunk, slot, head_dim, key_inverse, W=W, QUANTIZED=QUANTIZED)
        elif i == 15:
            first = key - 15 * row_stride
            append_keys(first, chunk, slot - 15, row_stride, head_dim, scales, W=W, QUANTIZED=QUANTIZED)


@kernel
def append(
    k: Pointer[f32], v: Pointer[f32], memory: Pointer[u8], tiles: Pointer[i64], table: Pointer[i64], row_stride: i64,
    heads: i64, layer_offset: i64, block_stride: i64, chunk_stride: i64, head_dim: i64, padded: i64,
    begin: i64, end: i64, *, W: type[Value], QUANTIZED: bool,
) -> None:  # fmt: skip
    """Write the tiles' new keys and values;  k, v: [rows, heads, head_dim]; strides of memory in bytes.

    A task is a tile of one head; the heads of a row lie together, so they are taken one after the other.
    """
    for task in range(begin, end):
        head = task % heads
        append_tile(
            k + head * head_dim, v + head * head_dim, memory + layer_offset + head * chunk_stride,
            tiles + task // heads * TILE, table, row_stride, block_stride, head_dim, padded, W=W, QUANTIZED=QUANTIZED,
        )  # fmt: skip
