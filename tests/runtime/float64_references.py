"""What the operations mean, in float64 NumPy, and how far a float32 result may be from that."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LARGEST_NMSE = 1e-7

_erf = np.vectorize(math.erf, otypes=[np.float64])


def nmse(result: Array, reference: Array) -> float:
    """Squared error over squared reference; infinite where the result has another shape, dtype or NaN."""
    if result.shape != reference.shape or result.dtype != np.float32 or not np.isfinite(result).all():
        return math.inf
    error = float(np.sum((result.astype(np.float64) - reference) ** 2))
    return error / max(float(np.sum(reference**2)), 1e-300) if error else 0.0


def as_kernels_see(x: npt.ArrayLike) -> Array:
    """An operand in float64 after its conversion to float32."""
    return np.asarray(np.asarray(x, np.float32), np.float64)


def softmax(x: Array, axis: int = -1) -> Array:
    power = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(power / power.sum(axis=axis, keepdims=True))


def log_softmax(x: Array, axis: int = -1) -> Array:
    moved = x - x.max(axis=axis, keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis=axis, keepdims=True)))


def layer_norm(x: Array, weight: Array, bias: Array, epsilon: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + epsilon) * weight + bias)


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


def gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def gelu_exact(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def attention(q: Array, k: Array, v: Array, scale: float | None = None) -> Array:
    """q: [tokens, heads, head_dim], k and v: [past + tokens, heads, head_dim] -> [tokens, heads, head_dim]."""
    past = len(k) - len(q)
    scores = np.einsum("thd,shd->hts", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    future = np.arange(len(k))[None, :] > past + np.arange(len(q))[:, None]  # [tokens, past + tokens]
    return np.asarray(np.einsum("hts,shd->thd", softmax(np.where(future, -np.inf, scores)), v))
