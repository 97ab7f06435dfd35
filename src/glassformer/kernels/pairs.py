"""Weights of bf16 in pairs of inputs, as the dot product of pairs reads them: [blocks][inputs / 2][64 outputs][2]."""

from glassformer.kernels.matmul import BLOCK
from glassformer.simd import Pointer, bf16, cast, i64, interleave_high, interleave_low, kernel, load, store, u8, vector


@kernel
def pair_up(packed: Pointer[u8], inputs: i64, begin: i64, end: i64) -> None:
    """From [blocks][inputs][64] to pairs, in place: two rows take the room of 64 pairs. A task is a block."""
    for block in range(begin, end):
        for k in range(0, inputs, 2):
            rows = cast(packed, bf16) + (block * inputs + k) * BLOCK
            even, odd = load(rows, vector(bf16, 64)), load(rows + BLOCK, vector(bf16, 64))
            store(rows, interleave_low(even, odd))
            store(rows + BLOCK, interleave_high(even, odd))
