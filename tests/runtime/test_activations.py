"""Activation functions against float64, and where they saturate."""

from collections.abc import Callable
from typing import Any

import float64_references as reference
import numpy as np
import pytest
from float64_references import LARGEST_NMSE, as_kernels_see, nmse

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import ACTIVATIONS, Ops

Function = Callable[[Any], Any]
FUNCTIONS: dict[str, tuple[Callable[[Ops], Function], Function]] = {
    "gelu tanh": (lambda ops: ops.gelu, reference.gelu_tanh),
    "gelu exact": (lambda ops: lambda x: ops.gelu(x, approximate="none"), reference.gelu_exact),
    "silu": (lambda ops: ops.silu, lambda x: x * reference.sigmoid(x)),
    "relu": (lambda ops: ops.relu, lambda x: np.maximum(x, 0)),
    "tanh": (lambda ops: ops.tanh, np.tanh),
    "sigmoid": (lambda ops: ops.sigmoid, reference.sigmoid),
}
CONFIG_NAMES = {"gelu_new": "gelu tanh", "gelu": "gelu exact", "silu": "silu", "relu": "relu", "tanh": "tanh"}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (15,), (17,), (4, 3072), (3, 1, 65), (10000,)])
@pytest.mark.parametrize("size", [0.01, 1.0, 10.0])
def test_values(ops: Ops, normal: Any, name: str, shape: tuple[int, ...], size: float) -> None:
    ours, meaning = FUNCTIONS[name]
    x = np.asarray(normal(*shape) * np.float32(size), np.float32)
    assert nmse(ours(ops)(x), np.asarray(meaning(as_kernels_see(x)))) <= LARGEST_NMSE


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_magnitude(ops: Ops, name: str) -> None:
    ours, meaning = FUNCTIONS[name]
    sizes = np.float32(10.0) ** np.arange(-30, 4, dtype=np.float32)
    for x in np.concatenate([sizes, np.float32([0.3, 0.6249, 0.625, 0.9999, 1.0, 2.5, 5.0, 9.0])]):
        assert nmse(ours(ops)(x), np.asarray(meaning(as_kernels_see(x)))) <= LARGEST_NMSE, x
        below, exact = ours(ops)(-x), meaning(as_kernels_see(-x))
        assert abs(below - exact) <= 2.5e-7 * max(abs(exact), min(float(x), 1.0)), x


@pytest.mark.parametrize("name", FUNCTIONS)
def test_far_out(ops: Ops, name: str) -> None:
    ours, _ = FUNCTIONS[name]
    x = np.float32([-3e38, -1e30, -1e20, -1e5, -200, 200, 1e5, 1e20, 1e30, 3e38, np.inf, np.nan])
    limit = {"tanh": np.sign(x), "sigmoid": np.heaviside(x, 0.5)}.get(name, np.maximum(x, 0))
    np.testing.assert_allclose(ours(ops)(x), limit, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("name", CONFIG_NAMES)
def test_names_of_config_files(ops: Ops, normal: Any, name: str) -> None:
    x = normal(3, 50)
    ours, _ = FUNCTIONS[CONFIG_NAMES[name]]
    np.testing.assert_array_equal(ops.activation(name, x), ours(ops)(x))


def test_all_names_of_config_files_are_tested() -> None:
    assert set(CONFIG_NAMES) == set(ACTIVATIONS)


def test_unknown_names(ops: Ops) -> None:
    with pytest.raises(ShapeError, match=r"'swish' is unknown; choose from gelu_new, gelu, relu, silu, tanh"):
        ops.activation("swish", [1.0])
    with pytest.raises(ShapeError, match="'tanh' or 'none', found 'erf'"):
        ops.gelu([1.0], approximate="erf")
