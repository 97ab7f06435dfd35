"""Activation functions on any number of lanes, and the elementwise operations that the tensor engine offers besides."""

from glassformer.simd import erf, exp, f32xN, fma, kernel, maximum, tanh


@kernel
def identity(x: f32xN) -> f32xN:
    """x: no activation."""
    return x


@kernel
def gelu_tanh(x: f32xN) -> f32xN:
    """x/2 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks & Gimpel, 2016), written as x / (1 + e^-2u)."""
    u = x * fma(x * x, 0.0356774081363001, 0.7978845608028654)
    return x / (exp(u * -2.0) + 1.0)


@kernel
def gelu_exact(x: f32xN) -> f32xN:
    """x/2 (1 + erf(x / sqrt 2))."""
    return x * 0.5 * (erf(x * 0.7071067811865476) + 1.0)


@kernel
def relu(x: f32xN) -> f32xN:
    """x where positive, else 0; NaN stays."""
    return maximum(0.0, x)


@kernel
def silu(x: f32xN) -> f32xN:
    """x / (1 + e^-x)."""
    return x / (exp(-x) + 1.0)


@kernel
def sigmoid(x: f32xN) -> f32xN:
    """1 / (1 + e^-x)."""
    return 1.0 / (exp(-x) + 1.0)


@kernel
def tanh_activation(x: f32xN) -> f32xN:
    """Hyperbolic tangent."""
    return tanh(x)
