"""Fit the polynomials of `glassformer.simd.math` and print their coefficients as exact f32 values.

Least squares in f64 on Chebyshev nodes, reweighted until the largest error stops falling (Lawson, 1961). Run it to see
where each table in that file comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def nodes(low: float, high: float, count: int = 2000) -> Array:
    """Chebyshev nodes of an interval."""
    angle = (np.arange(count) + 0.5) * math.pi / count
    return (low + high) / 2 + (high - low) / 2 * np.cos(angle)


def fit(x: Array, y: Array, weight: Array, degree: int) -> Array:
    """Coefficients, constant first, of the polynomial with the smallest largest weighted error."""
    powers = np.vander(x, degree + 1, increasing=True)
    lawson = np.ones_like(x)
    best, best_error = np.zeros(degree + 1), math.inf
    for _ in range(200):
        scale = np.sqrt(lawson) * weight
        coefficients = np.linalg.lstsq(powers * scale[:, None], y * scale, rcond=None)[0]
        error = np.abs(powers @ coefficients - y) * weight
        if error.max() < best_error:
            best, best_error = coefficients, float(error.max())
        lawson = lawson * error
        lawson /= lawson.mean()
    return best


def over(function: Callable[[float], float], x: Array) -> Array:
    """A function of one number at many."""
    return np.array([function(float(v)) for v in x])


def show(name: str, coefficients: Array) -> None:
    """Coefficients as f32, highest power first, as Horner's scheme wants them."""
    print(name, [float(np.float32(c)) for c in coefficients[::-1]])


def main() -> None:
    r = nodes(-0.347, 0.347)
    show("EXP: q in exp(r) = 1 + r + r^2 q(r)", fit(r, (np.expm1(r) - r) / r**2, r**2, 4))
    f = nodes(math.sqrt(0.5) - 1, math.sqrt(2) - 1)
    rest = (np.log1p(f) - f + f**2 / 2) / f**3
    show("LOG: q in log(1+f) = f - f^2/2 + f^3 q(f)", fit(f, rest, np.abs(f**3 / np.log1p(f)), 8))
    x = nodes(1e-3, 0.63)
    show("TANH: q in tanh(x) = x + x^3 q(x^2)", fit(x**2, (np.tanh(x) - x) / x**3, x**2, 4))
    x = nodes(1e-3, 1.0)
    show("ERF: p in erf(x) = x + x p(x^2)", fit(x**2, over(math.erf, x) / x - 1, np.ones_like(x), 7))
    x = nodes(1.0, 4.0)
    show("ERFC: p in erfc(x) = exp(p(x))", fit(x, np.log(over(math.erfc, x)), over(math.erfc, x), 9))


if __name__ == "__main__":
    main()
