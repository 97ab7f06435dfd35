"""Rows of a table by index: token and position embeddings."""

from glassformer.simd import (
    Pointer,
    cast,
    f32,
    f32x16,
    gather,
    i32,
    i64,
    i64x16,
    kernel,
    lane_numbers,
    load,
    store,
    u8,
    vector,
)
from glassformer.simd.types import Value


@kernel
def embedding(
    table: Pointer[u8],
    ids: Pointer[i32],
    out: Pointer[f32],
    width: i64,
    begin: i64,
    end: i64,
    *,
    W: type[Value],
    BLOCK: int,
) -> None:
    """out[i] = table[ids[i]];  out: [count, width]; a task is a row.

    BLOCK 1: the table is [rows][width]. Otherwise it is a packed matrix [row blocks][width][BLOCK], so that GPT-2's
    tied table is held once for its two uses.
    """
    values = cast(table, W)
    for i in range(begin, end):
        row = i64(ids[i])
        for k in range(0, width, 16):
            if BLOCK == 1:
                x = load(values + row * width + k, vector(W, 16), count=width - k)
            else:
                column = values + (row // BLOCK * width + k) * BLOCK + row % BLOCK
                lanes = lane_numbers(i64x16)
                x = gather(column, lanes * BLOCK, lanes + k < width)
            store(out + i * width + k, f32x16(x), count=width - k)
