"""What a matrix product does to its results before they leave the nearest cache: bias, activation, residual."""

from glassformer.kernels.activation import identity
from glassformer.simd import Kernel, Pointer, f32, f32x16, i64, kernel, load, store


@kernel
def take(x: Pointer[f32], count: i64) -> f32x16:
    """Up to 16 numbers, the rest 0. Whole where it can be: a masked load waits for a store just before it."""
    if count >= 16:
        return load(x, f32x16)
    return load(x, f32x16, count=count)


@kernel
def put(out: Pointer[f32], y: f32x16, count: i64) -> None:
    """Write up to 16 numbers, whole where it can be: what a masked store wrote is not at once there to be read."""
    if count >= 16:
        store(out, y)
    else:
        store(out, y, count=count)


@kernel
def activate(
    residual: Pointer[f32], has_residual: i64, out: Pointer[f32], stride: i64, rows: i64, width: i64,
    *, ACTIVATION: Kernel,
) -> None:  # fmt: skip
    """out = residual + ACTIVATION(out) for `rows` rows, `stride` apart, of `width` columns; nothing for `identity`.

    A loop and not part of the register tile: an activation is many instructions, which a tile would hold 24 times.
    """
    if ACTIVATION is not identity:
        for t in range(rows):
            for v in range(0, width, 16):
                place = t * stride + v
                y = ACTIVATION(take(out + place, width - v))
                if has_residual != 0:
                    y = take(residual + place, width - v) + y
                put(out + place, y, width - v)
