"""Elementary functions: their error bounds over all of f32, what they do at the edges, and that bits agree everywhere.

The judge is float64, whose own functions err by far less than an f32's last place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_source import import_text
from table_kernels import functions_text

from glassformer.simd.kernel import Variant
from glassformer.simd.target import TARGETS, runnable_targets

Array = npt.NDArray[Any]
LANES = 16
TINY = np.finfo(np.float32).smallest_subnormal
# The function in float64, and the bound in units in the last place that the table's summary states.
JUDGES: dict[str, tuple[Any, float]] = {
    "exp": (np.exp, 1.05),
    "exp_normal": (np.exp, 1.05),
    "log": (np.log, 1),
    "tanh": (np.tanh, 2),
    "erf": (np.vectorize(math.erf, [np.float64]), 2),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5),
}
DOMAINS = {"exp_normal": (-87.0, 88.0)}  # of those that are not for every number


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Variant, list[str]]:
    text, names = functions_text(LANES)
    return import_text(tmp_path_factory.mktemp("kernels"), text).work.specialise(), names


def everywhere(count: int) -> Array:
    """f32 numbers spread evenly over all bit patterns, with more of them where functions bend."""
    spread = np.linspace(0, 2**32 - 1, count).astype(np.uint64).astype(np.uint32).view(np.float32)
    bends = [
        np.linspace(a, b, count // 8).astype(np.float32)
        for a, b in ((-105, 90), (-1.2, 1.2), (0.2, 4.2), (0.98, 1.02), (0.6, 1.5))
    ]
    out = np.concatenate([spread, *bends])
    return out[: len(out) // LANES * LANES]


def inside(name: str, x: Array) -> Array:
    """Where a function is defined."""
    low, high = DOMAINS.get(name, (-np.inf, np.inf))
    return np.asarray((x >= low) & (x <= high) | np.isnan(x))


def run(functions: tuple[Variant, list[str]], x: Array, target: str) -> dict[str, Array]:
    work, names = functions
    out = np.zeros((len(names), len(x)), np.float32)
    work(x, out, len(x), target=TARGETS[target])
    return dict(zip(names, out, strict=True))


def ulps(found: Array, exact: Array) -> Array:
    """Distance from the exact value in units in the last place of the f32 next to it."""
    with np.errstate(all="ignore"):
        near = np.minimum(np.abs(exact), float(np.finfo(np.float32).max)).astype(np.float32)
        place = np.maximum(np.spacing(near), TINY).astype(np.float64)
        return np.asarray(np.abs(found.astype(np.float64) - exact) / place)


def test_every_function_has_a_judge_and_states_its_bound(functions: tuple[Variant, list[str]]) -> None:
    from glassformer.simd.table import TABLE

    assert set(functions[1]) == set(JUDGES)
    for name, (_, bound) in JUDGES.items():
        assert f"within {bound} ulp" in TABLE[name].summary


@pytest.mark.parametrize("name", JUDGES)
def test_errors_stay_within_the_bound(name: str, functions: tuple[Variant, list[str]]) -> None:
    function, bound = JUDGES[name]
    x = everywhere(400_000)
    with np.errstate(all="ignore"):
        exact = function(x.astype(np.float64))
    found = run(functions, x, runnable_targets()[-1])[name]
    x, exact, found = (each[inside(name, x)] for each in (x, exact, found))
    assert np.array_equal(np.isnan(found), np.isnan(exact))
    finite = np.isfinite(exact) & (np.abs(exact) < float(np.finfo(np.float32).max))
    error = ulps(found[finite], exact[finite])
    worst = int(error.argmax())
    assert error[worst] <= bound, f"{name}({x[finite][worst]!r}): {error[worst]} ulp"
    over = np.abs(exact) > 3.4028236e38
    assert np.array_equal(found[over], np.where(exact[over] > 0, np.float32(np.inf), np.float32(-np.inf)))


@pytest.mark.parametrize(
    ("name", "x", "want"),
    [
        ("exp", -np.inf, 0.0),
        ("exp", np.inf, np.inf),
        ("exp", 0.0, 1.0),
        ("exp", -0.0, 1.0),
        ("exp", 89.0, np.inf),
        ("exp", -104.0, 0.0),
        ("log", 0.0, -np.inf),
        ("log", -0.0, -np.inf),
        ("log", 1.0, 0.0),
        ("log", np.inf, np.inf),
        ("log", -1.0, np.nan),
        ("log", -np.inf, np.nan),
        ("tanh", 0.0, 0.0),
        ("tanh", -0.0, -0.0),
        ("tanh", np.inf, 1.0),
        ("tanh", -np.inf, -1.0),
        ("tanh", 30.0, 1.0),
        ("erf", 0.0, 0.0),
        ("erf", -0.0, -0.0),
        ("erf", np.inf, 1.0),
        ("erf", -np.inf, -1.0),
        ("erf", -9.0, -1.0),
        ("rsqrt", 4.0, 0.5),
        ("rsqrt", 0.0, np.inf),
        ("rsqrt", np.inf, 0.0),
        ("rsqrt", -1.0, np.nan),
        *[(name, np.nan, np.nan) for name in JUDGES],
    ],
)
def test_edges(name: str, x: float, want: float, functions: tuple[Variant, list[str]]) -> None:
    found = run(
        functions, np.full(LANES, x, np.float32), "baseline" if "baseline" in TARGETS else runnable_targets()[0]
    )[name][0]
    assert np.array_equal(found, np.float32(want), equal_nan=True)
    assert math.isnan(want) or np.signbit(found) == np.signbit(want)


def test_every_target_gives_the_same_bits(functions: tuple[Variant, list[str]]) -> None:
    x = everywhere(100_000)
    first, *others = (run(functions, x, target) for target in runnable_targets())
    for other in others:
        for name, found in other.items():
            same = (found.view(np.uint32) == first[name].view(np.uint32)) | (np.isnan(found) & np.isnan(first[name]))
            same |= ~inside(name, x)
            assert same.all(), f"{name} at {x[~same][:4]}"


def test_the_exponential_of_normal_results_has_the_bits_of_the_general_one(
    functions: tuple[Variant, list[str]],
) -> None:
    x = everywhere(400_000)
    x = np.resize(x[inside("exp_normal", x) & ~np.isnan(x)], len(x))
    for target in runnable_targets():
        found = run(functions, x, target)
        assert found["exp_normal"].tobytes() == found["exp"].tobytes()


@pytest.mark.parametrize("name", ["exp", "tanh", "erf"])
def test_rising_functions_never_fall(name: str, functions: tuple[Variant, list[str]]) -> None:
    x = np.linspace(-100, 88, 160_000).astype(np.float32)
    found = run(functions, x, runnable_targets()[-1])[name].astype(np.float64)
    drop = np.diff(found)
    assert (drop >= -2 * np.spacing(np.abs(found[:-1]).astype(np.float32))).all()
