"""Interim: the tensor engine's names over NumPy, until its kernels stand."""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


def exp(x: Float32) -> Float32:
    """exp(x), elementwise."""
    return np.exp(x.astype(np.float32))


def log(x: Float32) -> Float32:
    """Natural logarithm, elementwise."""
    return np.log(x.astype(np.float32))


def softmax(x: Float32) -> Float32:
    """Softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True)).astype(np.float32)


def log_softmax(x: Float32) -> Float32:
    """log(softmax(x)) over the last axis."""
    s = x - x.max(axis=-1, keepdims=True)
    return (s - np.log(np.exp(s).sum(axis=-1, keepdims=True))).astype(np.float32)
