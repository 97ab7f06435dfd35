"""Normalisation of rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glassformer.kernels.normalization import deviation, layer_norm, layer_norm_q8
from glassformer.runtime.arrays import Float32, ShapeError, as_float32
from glassformer.runtime.executor import Cost, Executor, Launch
from glassformer.runtime.quantized import QuantizedRows, empty_rows


def normalize(
    executor: Executor, x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike, epsilon: float
) -> Float32:
    """Layer normalisation; see `Ops.layer_norm`."""
    source, scale, shift = checked(x, weight, bias, epsilon)
    out = executor.empty(source.shape)  # [..., width]
    if out.size:
        width = source.shape[-1]
        arguments = (source, scale, shift, out, width, float(epsilon))
        cost = Cost(8 * out.size, 8 * out.size)
        executor.run(Launch(layer_norm.specialise(), arguments, out.size // width, 4 * out.size, cost))
    return out


def normalize_q8(
    executor: Executor, x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike, epsilon: float
) -> QuantizedRows:
    """Layer normalisation with the result in eight bits, the codes that `quantize` would make of it.

    x: [rows, width], of which the width is a multiple of 32.
    """
    source, scale, shift = checked(x, weight, bias, epsilon)
    if source.ndim != 2:
        raise ShapeError(f"layer_norm: x {source.shape}; expected [rows, width]")
    made = empty_rows(executor, *source.shape)
    arguments = (source, scale, shift, made.codes, made.scales, made.sums, made.width, float(epsilon))
    cost = Cost(11 * source.size, 5 * source.size)
    executor.run(Launch(layer_norm_q8.specialise(), arguments, made.rows, 6 * source.size, cost))
    return made


def deviations(executor: Executor, x: npt.ArrayLike, epsilon: float) -> Float32:
    """What a layer normalisation divides rows by; see `Ops.deviation`."""
    source = as_float32(x)
    if source.ndim == 0:
        raise ShapeError(f"deviation: x {source.shape}; expected [..., width]")
    out = executor.empty((*source.shape[:-1], 1))  # [..., 1]
    if out.size and source.size:
        arguments = (source, out, source.shape[-1], float(epsilon))
        executor.run(Launch(deviation.specialise(), arguments, out.size, 3 * source.size, Cost(0, 4 * source.size)))
    return out


def checked(
    x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike, epsilon: float
) -> tuple[Float32, Float32, Float32]:
    """Operands of a layer normalisation that go together."""
    source, scale, shift = as_float32(x), as_float32(weight, "weight"), as_float32(bias, "bias")
    if source.ndim == 0 or scale.shape != source.shape[-1:] or shift.shape != scale.shape:
        raise ShapeError(
            f"layer_norm: x {source.shape}, weight {scale.shape}, bias {shift.shape}; expected one last axis"
        )
    if not isinstance(epsilon, int | float | np.floating) or not epsilon >= 0:
        raise ShapeError(f"layer_norm: epsilon is a number of at least 0, found {epsilon!r}")
    return source, scale, shift
