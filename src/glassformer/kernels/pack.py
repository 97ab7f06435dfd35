"""Weights into the layout that matrix products read: [blocks][inputs][64 outputs], the last block filled with zeros."""

from glassformer.kernels.matmul import BLOCK
from glassformer.simd import (
    Pointer,
    cast,
    f32x16,
    gather,
    i64,
    i64x16,
    kernel,
    lane_numbers,
    load,
    static_range,
    store,
    u8,
    vector,
)  # fmt: skip
from glassformer.simd.types import Value


@kernel
def pack(
    source: Pointer[u8], packed: Pointer[u8], inputs: i64, outputs: i64, k_stride: i64, n_stride: i64, begin: i64,
    end: i64,
    *, FROM: type[Value], TO: type[Value],
) -> None:  # fmt: skip
    """packed[block, k, n] = source[k * k_stride + (64 block + n) * n_stride]; strides in elements.

    A task is a block.
    """
    values = cast(source, FROM)
    target = cast(packed, TO)
    for block in range(begin, end):
        for k in range(inputs):
            for v in static_range(0, BLOCK, 16):
                first = block * BLOCK + v
                lanes = lane_numbers(i64x16) + first
                if n_stride == 1:
                    x = load(values + k * k_stride + first, vector(FROM, 16), count=outputs - first)
                else:
                    x = gather(values + k * k_stride, lanes * n_stride, lanes < outputs)
                y = x if FROM is TO else vector(TO, 16)(f32x16(x))
                store(target + (block * inputs + k) * BLOCK + v, y)


@kernel
def convert(
    source: Pointer[u8], out: Pointer[u8], size: i64, begin: i64, end: i64, *, FROM: type[Value], TO: type[Value]
) -> None:
    """out[i] = source[i] as another type, by way of f32;  both: [size]; a task is a chunk of 4,096."""
    for chunk in range(begin, end):
        stop = min(chunk * 4096 + 4096, size)
        for i in range(chunk * 4096, stop, 16):
            x = load(cast(source, FROM) + i, vector(FROM, 16), count=stop - i)
            store(cast(out, TO) + i, vector(TO, 16)(f32x16(x)), count=stop - i)
