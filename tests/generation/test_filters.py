"""Each filter against a plain-Python reading of its definition."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.generation import filters

Float32 = npt.NDArray[np.float32]
Filter = Callable[[Float32, float], Float32]


def random_logits(seed: int, size: int = 40, scale: float = 2.0) -> Float32:
    """Logits without ties."""
    return (np.random.default_rng(seed).standard_normal(size) * scale).astype(np.float32)


def probabilities(logits: Float32) -> list[float]:
    """Softmax in exact order and double precision; minus infinity is probability zero."""
    weights = [math.exp(float(x) - float(logits.max())) for x in logits]
    return [weight / math.fsum(weights) for weight in weights]


def kept(logits: Float32) -> set[int]:
    return set(np.flatnonzero(np.isfinite(logits)).tolist())


def weighed(run: Filter) -> Filter:
    """A filter of weights as one of logits."""

    def filter_logits(logits: Float32, value: float) -> Float32:
        return np.where(run(filters.weights(logits), value) > 0, logits, np.float32(-np.inf))

    return filter_logits


def typical(logits: Float32, mass: float) -> Float32:
    """The same of the filter that looks at the logits too."""
    return weighed(lambda weights, value: filters.typical(weights, logits, value))(logits, mass)


top_p, min_p = (weighed(run) for run in (filters.top_p, filters.min_p))


def by_rank(values: list[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda i: (-values[i], i))


def nucleus(logits: Float32, p: float) -> set[int]:
    chosen: set[int] = set()
    p_of = probabilities(logits)
    for token in by_rank(p_of):
        chosen.add(token)
        if math.fsum(p_of[i] for i in chosen) >= p:
            break
    return chosen


def typical_set(logits: Float32, mass: float) -> set[int]:
    p_of = probabilities(logits)
    entropy = -math.fsum(p * math.log(p) for p in p_of if p > 0)
    distance = [abs(-math.log(p) - entropy) if p > 0 else math.inf for p in p_of]
    chosen: set[int] = set()
    for token in sorted(range(len(p_of)), key=lambda i: (distance[i], i)):
        chosen.add(token)
        if math.fsum(p_of[i] for i in chosen) >= mass:
            break
    return chosen


def at_least(logits: Float32, fraction: float) -> set[int]:
    p_of = probabilities(logits)
    return {i for i, p in enumerate(p_of) if p >= fraction * max(p_of)}


def best(logits: Float32, k: int) -> set[int]:
    return set(by_rank(logits.tolist())[:k])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("run", "definition", "values"),
    [
        (filters.top_k, best, [1, 2, 7, 39, 40, 1000]),
        (top_p, nucleus, [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 0.9999]),
        (min_p, at_least, [0.0, 0.02, 0.1, 0.5, 1.0]),
        (typical, typical_set, [0.0, 0.05, 0.2, 0.5, 0.9, 0.999]),
    ],
    ids=["top_k", "top_p", "min_p", "typical"],
)
def test_keeps_what_the_definition_keeps(
    run: Filter,
    definition: Callable[[Float32, float], set[int]],
    values: list[float],
    seed: int,
) -> None:
    logits = random_logits(seed)
    before = logits.copy()
    for value in values:
        filtered = run(logits, value)
        assert filtered.dtype == np.float32
        assert kept(filtered) == definition(logits, value), value
        survivors = sorted(kept(filtered))
        assert np.array_equal(filtered[survivors], logits[survivors])
    assert np.array_equal(logits, before), "a filter changed its argument"


@pytest.mark.parametrize("run", [top_p, typical])
def test_one_keeps_everything(run: Filter) -> None:
    logits = random_logits(3, scale=10.0)
    assert kept(run(logits, 1.0)) == set(range(logits.size))


def test_equal_logits_are_ranked_by_id() -> None:
    logits = np.array([1, 3, 2, 3, 2, 3, 2], dtype=np.float32)
    assert kept(filters.top_k(logits, 2)) == {1, 3}
    assert kept(filters.top_k(logits, 4)) == {1, 2, 3, 5}
    assert kept(top_p(np.zeros(10, dtype=np.float32), 0.35)) == {0, 1, 2, 3}


def test_forbidden_tokens_stay_forbidden() -> None:
    logits = random_logits(5)
    logits[[3, 4, 30]] = -np.inf
    for filtered in (
        filters.top_k(logits, 39),
        top_p(logits, 0.9999999),
        min_p(logits, 0.01),
        typical(logits, 0.9999999),
        filters.temperature(logits, 0.5),
    ):
        assert not kept(filtered) & {3, 4, 30}
        assert kept(filtered)


def test_a_nucleus_beyond_rounding_keeps_everything_possible() -> None:
    logits = random_logits(6, size=300)
    assert kept(top_p(logits, math.nextafter(1.0, 0.0))) >= nucleus(logits, 0.999999)


@pytest.mark.parametrize("value", [0.1, 0.7, 1.0, 1.5, 40.0])
def test_temperature_divides_the_logits(value: float) -> None:
    logits = random_logits(9)
    wanted = probabilities((logits.astype(np.float64) / value).astype(np.float32))
    assert probabilities(filters.temperature(logits, value)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("value", [5e-324, 1e-300, 1e-30, 1e-3])
def test_small_temperatures_leave_the_greatest_logit_only(value: float) -> None:
    logits = np.array([1.0, 80.0, 79.0, -1e30], dtype=np.float32)
    assert probabilities(filters.temperature(logits, value))[1] == 1.0


def test_filters_compose() -> None:
    logits = random_logits(11)
    both = top_p(filters.top_k(logits, 5), 0.8)
    assert kept(both) == nucleus(filters.top_k(logits, 5), 0.8)
    assert kept(both) <= best(logits, 5)
