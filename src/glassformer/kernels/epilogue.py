"""What a matrix product does to its results while they are in the nearest cache: bias, activation, residual."""

from glassformer.kernels.activation import identity
from glassformer.simd import Kernel, Pointer, f32, f32x16, i64, kernel, load, store


@kernel
def finish(
    bias: Pointer[f32], has_bias: i64, residual: Pointer[f32], has_residual: i64, out: Pointer[f32], stride: i64,
    rows: i64, width: i64,
    *, ACTIVATION: Kernel,
) -> None:  # fmt: skip
    """out = residual + ACTIVATION(out + bias) for `rows` rows, `stride` apart, of `width` columns.

    A loop and not part of the register tile: an activation is many instructions, which a tile would hold 24 times. What
    there is to add is known when it runs, so that a model needs fewer kernels.
    """
    if ACTIVATION is identity and has_bias + has_residual == 0:
        return
    for t in range(rows):
        for v in range(0, width, 16):
            place = t * stride + v
            y = load(out + place, f32x16, count=width - v)
            if has_bias != 0:
                y = y + load(bias + v, f32x16, count=width - v)
            y = ACTIVATION(y)
            if has_residual != 0:
                y = load(residual + place, f32x16, count=width - v) + y
            store(out + place, y, count=width - v)
