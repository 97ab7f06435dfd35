"""The second half of attention by itself: weights that are given, instead of a softmax, mix the values of a cache."""

from glassformer.kernels.pages import KEYS, POSITION, ROW, ROWS, TABLE, TILE
from glassformer.simd import Pointer, cast, f16, f32, f32x16, fma, i64, kernel, load, static_range, store, u8, vector
from glassformer.simd.types import Value


@kernel
def attention_mix(
    pattern: Pointer[f32], memory: Pointer[u8], out: Pointer[f32], tiles: Pointer[i64], table: Pointer[i64], rows: i64,
    pitch: i64, out_stride: i64, n_tiles: i64, layer_offset: i64, block_stride: i64, chunk_stride: i64, head_dim: i64,
    begin: i64, end: i64, *, VECTORS: int, W: type[Value], QUANTIZED: bool,
) -> None:  # fmt: skip
    """out[r, h] = pattern[h, r, : position of r + 1] @ values[h];  pattern: [heads][rows][pitch].

    A task is a tile of one head; the rest is as `attention` has it.
    """
    for task in range(begin, end):
        head = task // n_tiles
        tile = tiles + task % n_tiles * TILE
        inside = memory + layer_offset + head * chunk_stride
        blocks = table + tile[TABLE]
        for row in range(tile[ROW], tile[ROW] + tile[ROWS]):
            weights = pattern + (head * rows + row) * pitch
            total = [f32x16(0.0) for d in static_range(VECTORS)]
            for key in range(tile[POSITION] + row - tile[ROW] + 1):
                values = cast(inside + blocks[key // KEYS] * block_stride, W) + KEYS * head_dim
                scales = cast(values + KEYS * (16 * VECTORS), f16)
                weight = weights[key]
                if QUANTIZED:
                    weight = weight * f32(scales[KEYS + key % KEYS])
                for d in static_range(VECTORS):
                    x = f32x16(load(values + key % KEYS * (16 * VECTORS) + 16 * d, vector(W, 16)))
                    total[d] = fma(x, weight, total[d])
            for d in static_range(VECTORS):
                store(out + row * out_stride + head * head_dim + 16 * d, total[d], count=head_dim - 16 * d)
