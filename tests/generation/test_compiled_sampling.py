"""Compiled sampling against its definition: the same token, for whatever logits and filters."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.generation import filters
from glassformer.runtime import ops
from glassformer.runtime.desk import Cut, Wish, least_weight
from glassformer.runtime.executor import Eager
from glassformer.runtime.sampling import Sampler
from glassformer.simd.target import runnable_targets

Float32 = npt.NDArray[np.float32]
SIZES = (1, 2, 15, 16, 17, 64, 511, 512, 513, 3001)
NUMBERS = (0.0, 0.1234, 0.5, 0.987, 1 - 2**-53)
LARGEST = float(np.finfo(np.float32).max)


def drawn(sampler: Sampler, logits: Float32, cut: Cut | None, number: float = 0.0) -> int | None:
    """The token alone."""
    found = sampler.choose(logits, Wish(cut, number))
    return None if found is None else found[0]


def shapes(size: int) -> Iterator[Float32]:
    """Logits that are ordinary, tied, signed zeros, forbidden, huge, tiny, and of one token that has it all."""
    rng = np.random.default_rng(size)
    normal = rng.standard_normal(size).astype(np.float32)
    yield normal * np.float32(3)
    yield np.round(normal)
    yield np.where(normal > 0, np.float32(0.0), np.float32(-0.0))
    forbidden = np.where(rng.random(size) < 0.7, np.float32(-np.inf), normal)
    forbidden[size // 2] = 0.5
    yield forbidden
    yield np.clip(normal.astype(np.float64) * 1e38, -LARGEST, LARGEST).astype(np.float32)
    yield (normal.astype(np.float64) * 1e-40).astype(np.float32)
    yield np.where(np.arange(size) == size - 1, np.float32(200), np.float32(0))
    yield np.full(size, -LARGEST, np.float32)


def cuts(rng: np.random.Generator, count: int) -> Iterator[Cut]:
    """Filters at random, each of them off in half of the cases."""
    for _ in range(count):
        yield Cut(
            temperature=float(rng.choice([1.0, 1.0, 0.7, 1.9, 1e-3, 5e-324, 1e300])),
            top_k=int(rng.choice([0, 0, 1, 2, 40, 700, 2999, 10**9])),
            top_p=float(rng.choice([1.0, 1.0, 0.0, 0.1, 0.5, 0.95, 0.99999, 1 - 2**-53])),
            min_p=float(rng.choice([0.0, 0.0, 1e-300, 0.02, 0.5, 1.0])),
            typical_p=float(rng.choice([1.0, 1.0, 0.0, 0.2, 0.9, 1 - 2**-53])),
        )


@pytest.mark.parametrize("size", SIZES)
def test_a_draw_is_that_of_the_definition(size: int) -> None:
    sampler, rng = Sampler(size), np.random.default_rng(size)
    for logits in shapes(size):
        before = logits.copy()
        for cut in cuts(rng, 12):
            weights = filters.distribution(logits, cut)
            for number in NUMBERS:
                assert drawn(sampler, logits, cut, number) == filters.draw(weights, number), (cut, number)
        assert np.array_equal(logits, before)


@pytest.mark.parametrize("scale", [0.02, 1.0, 5.0])
@pytest.mark.parametrize("tied", [False, True])
def test_a_vocabulary_of_real_size(scale: float, tied: bool) -> None:
    size = 50257
    sampler, rng = Sampler(size, Eager(2)), np.random.default_rng(1)
    logits = (rng.standard_normal(size) * scale).astype(np.float32)
    if tied:
        logits = np.round(logits * 4) / 4
    every = [
        Cut(), Cut(0.8), Cut(top_k=50), Cut(top_k=20_000), Cut(top_p=0.9), Cut(1.3, 60, 0.9), Cut(typical_p=0.8),
        Cut(min_p=0.05), Cut(top_p=0.99, min_p=0.01), Cut(top_p=0.9, typical_p=0.5), Cut(0.5, 9000, 0.99, 0.001, 0.9),
    ]  # fmt: skip
    for cut in every:
        weights = filters.distribution(logits, cut)
        for number in NUMBERS:
            assert drawn(sampler, logits, cut, number) == filters.draw(weights, number), (cut, number)


@pytest.mark.parametrize("fraction", [0.01, 0.05, 0.1, 0.3, 0.5])
def test_min_p_keeps_no_weight_below_it_by_less_than_a_float(fraction: float) -> None:
    least = least_weight(fraction)
    assert np.float32(least) == least >= fraction > float(np.nextafter(np.float32(least), np.float32(0)))
    logits = np.array([0, *np.linspace(np.log(fraction) - 2e-6, np.log(fraction) + 2e-6, 200)], np.float32)
    weights, sampler = filters.distribution(logits, Cut(min_p=fraction)), Sampler(len(logits))
    assert 1 < np.count_nonzero(weights) < len(logits)
    for number in np.linspace(0, 1, 50, endpoint=False):
        assert drawn(sampler, logits, Cut(min_p=fraction), number) == filters.draw(weights, number)


@pytest.mark.parametrize("size", SIZES)
def test_the_greatest_and_the_leading(size: int) -> None:
    sampler = Sampler(size)
    for logits in shapes(size):
        assert drawn(sampler, logits, None) == int(np.argmax(logits))
        ranked = [int(i) for i in np.argsort(-logits, kind="stable") if logits[i] > -np.inf]
        for count in (0, 1, 5, 40, 2000, size + 9):
            assert sampler.leading(logits, count) == ranked[:count], count


@pytest.mark.parametrize("size", SIZES)
def test_log_probabilities_are_those_of_the_softmax_over_all(size: int) -> None:
    sampler, ids = Sampler(size), [0, size // 3, size - 1]
    for logits in shapes(size):
        found = np.array(sampler.log_probabilities(logits, ids), np.float32)
        assert found.tobytes() == ops.log_softmax(logits)[ids].tobytes()
        token, own = sampler.choose(logits, Wish(Cut(), 0.3)) or (0, 0.0)
        assert own == ops.log_softmax(logits)[token]
        token, own = sampler.choose(logits, allowed=np.flip(logits).copy()) or (0, 0.0)
        assert own == ops.log_softmax(logits)[token], "the model's own, whatever it is chosen from"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_no_number_is_noticed_at_any_place(size: int, bad: float) -> None:
    sampler = Sampler(size)
    for place in {0, size // 2, size - 1}:
        logits = np.zeros(size, np.float32)
        logits[place] = bad
        assert drawn(sampler, logits, None) is None
        assert drawn(sampler, logits, Cut(), 0.5) is None
    assert drawn(sampler, np.full(size, -np.inf, np.float32), None) is None


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_texts_side_by_side_get_the_tokens_that_they_get_alone(threads: int) -> None:
    size, rng = 9001, np.random.default_rng(threads)
    sampler, executor = Sampler(size), Eager(threads)
    every = [None, *cuts(rng, 9), None]
    logits = (rng.standard_normal((len(every), size)) * 3).astype(np.float32)
    logits[3, 77] = np.nan
    wishes = [Wish(cut, 0.1 * place) for place, cut in enumerate(every)]
    alone = [sampler.choose(row, wish) for row, wish in zip(logits, wishes, strict=True)]
    assert alone[3] is None
    several = Sampler(size, executor)
    for count in (1, 2, 5, len(every)):
        assert several.choose_all(logits[:count], wishes[:count]) == alone[:count]
    assert [several.choose(row, wish) for row, wish in zip(logits, wishes, strict=True)] == alone


def test_a_mask_is_added_to_what_is_chosen_from() -> None:
    size, rng = 5001, np.random.default_rng(5)
    sampler = Sampler(size, Eager(2))
    logits = (rng.standard_normal((6, size)) * 3).astype(np.float32)
    masks = [np.where(rng.random(size) < share, np.float32(0), np.float32(-np.inf)) for share in (0.5, 0.01)]
    every = [Cut(), None, Cut(0.8, 5), Cut(top_p=0.7), Cut(typical_p=0.5), Cut(2.0, min_p=0.1)]
    wishes = [Wish(cut, 0.3, (masks * 3)[place] if place else None) for place, cut in enumerate(every)]
    allowed = [row if wish.mask is None else row + wish.mask for row, wish in zip(logits, wishes, strict=True)]
    wanted = [
        sampler.choose(row, Wish(wish.cut, wish.number), changed)
        for row, wish, changed in zip(logits, wishes, allowed, strict=True)
    ]
    assert all(found and masks[place % 2][found[0]] == 0 for place, found in enumerate(wanted) if place)
    assert [sampler.choose(row, wish) for row, wish in zip(logits, wishes, strict=True)] == wanted
    assert sampler.choose_all(logits, wishes) == wanted
    assert sampler.choose(logits[0], Wish(mask=np.full(size, -np.inf, np.float32))) is None


@pytest.mark.parametrize("threads", [1, 2])
def test_a_sample_that_misleads_changes_no_token(threads: int) -> None:
    size = 40_000
    sampler = Sampler(size, Eager(threads))
    lanes = np.arange(size) // 16 % 16  # a sample is one vector in 16
    for high, low in ((0, -6), (-6, 0), (0, -30), (-3, -3.001)):
        logits = np.where(lanes == 0, np.float32(high), np.float32(low))
        logits += np.random.default_rng(1).standard_normal(size).astype(np.float32) * np.float32(0.01)
        for cut in (Cut(top_p=0.5), Cut(top_p=0.01), Cut(top_p=0.97), Cut(typical_p=0.3), Cut(0.9, typical_p=0.9)):
            weights = filters.distribution(logits, cut)
            for number in NUMBERS:
                assert drawn(sampler, logits, cut, number) == filters.draw(weights, number), (high, low, cut, number)


@pytest.mark.parametrize("target", runnable_targets())
def test_every_processor_level_draws_the_same(target: str) -> None:
    size = 2003
    sampler, rng = Sampler(size, Eager(1, target)), np.random.default_rng(7)
    for logits in shapes(size):
        for cut in cuts(rng, 6):
            weights = filters.distribution(logits, cut)
            assert drawn(sampler, logits, cut, 0.6) == filters.draw(weights, 0.6), cut
        wanted = ops.log_softmax(logits)[[3, 5]].tolist()
        assert sampler.log_probabilities(logits, [3, 5]) == wanted


def test_as_python_the_kernels_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, size = np.random.default_rng(3), 37
    logits = rng.standard_normal(size).astype(np.float32)
    every = [Cut(), Cut(0.5, 9, 0.8, 0.05, 0.9), Cut(2.0, 0, 0.5)]
    wanted = [filters.draw(filters.distribution(logits, cut), 0.4) for cut in every]
    scored = ops.log_softmax(logits)[[1, 36]].tolist()
    monkeypatch.setenv("GLASSFORMER_KERNELS", "reference")
    sampler = Sampler(size)
    assert [drawn(sampler, logits, cut, 0.4) for cut in every] == wanted
    assert drawn(sampler, logits, None) == int(logits.argmax())
    assert sampler.leading(logits, 3) == np.argsort(-logits)[:3].tolist()
    assert sampler.log_probabilities(logits, [1, 36]) == scored
