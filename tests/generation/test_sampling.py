"""The choice of one token: the draw, its distribution, the order of the parts, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from glassformer.generation import filters, penalties
from glassformer.generation.errors import LogitsError
from glassformer.generation.filters import draw
from glassformer.generation.logprobs import token_logprob
from glassformer.generation.options import SamplingOptions
from glassformer.generation.sampling import choose as choose_with
from glassformer.generation.sampling import cut
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.sampling import Sampler
from glassformer.simd.target import runnable_targets

LOGITS = np.array([0.5, 2.0, -1.0, 1.0, 1.75, -3.0], dtype=np.float32)
SAMPLE = SamplingOptions(do_sample=True, seed=1)


def choose(logits: np.ndarray, prompt: list[int], generated: list[int], options: SamplingOptions) -> int:
    return choose_with(logits, prompt, generated, options, Sampler(logits.size))[0]


def drawn(options: SamplingOptions, count: int) -> np.ndarray:
    """How often each token is chosen as the first, second, ... `count`-th of a continuation."""
    tokens = [choose(LOGITS, [0], [0] * place, options) for place in range(count)]
    return np.bincount(tokens, minlength=LOGITS.size)


def test_draw_inverts_the_running_sum() -> None:
    probabilities = np.array([0.0, 0.25, 0.0, 0.5, 0.25, 0.0], dtype=np.float32)
    numbers = [0.0, 0.2499, 0.25, 0.5, 0.7499, 0.75, math.nextafter(1.0, 0.0)]
    assert [draw(probabilities, number) for number in numbers] == [1, 1, 3, 3, 3, 4, 4]


def test_draw_needs_no_exact_sum() -> None:
    assert draw(np.array([0.2, 0.2, 0.0], dtype=np.float32), math.nextafter(1.0, 0.0)) == 1
    assert draw(np.array([0.9, 0.9], dtype=np.float32), 0.49) == 0


@pytest.mark.parametrize(
    "options",
    [
        SAMPLE,
        replace(SAMPLE, temperature=0.5),
        replace(SAMPLE, temperature=3.0, seed=2),
        replace(SAMPLE, top_k=3),
        replace(SAMPLE, top_p=0.7),
        replace(SAMPLE, min_p=0.3),
        replace(SAMPLE, typical_p=0.6),
    ],
    ids=["plain", "cold", "hot", "top_k", "top_p", "min_p", "typical"],
)
def test_tokens_come_as_often_as_their_probabilities_say(options: SamplingOptions) -> None:
    count = 4000
    weights = filters.distribution(LOGITS, cut(options)).astype(np.float64)
    expected = weights / weights.sum() * count
    found = drawn(options, count)
    possible = expected > 0
    assert not found[~possible].any()
    chi_squared = float((((found - expected) ** 2)[possible] / expected[possible]).sum())
    assert chi_squared < 20.5  # 5 degrees of freedom or fewer: exceeded once in a thousand


def test_the_same_seed_gives_the_same_tokens_and_another_gives_others() -> None:
    first, again = ([choose(LOGITS, [0], [0] * i, SAMPLE) for i in range(40)] for _ in range(2))
    other = [choose(LOGITS, [0], [0] * i, replace(SAMPLE, seed=2)) for i in range(40)]
    assert first == again
    assert first != other


def test_a_draw_that_is_the_same_on_every_machine() -> None:
    golden = [4, 3, 1, 4, 1, 1, 1, 1, 4, 1, 1, 3, 1, 1, 4, 1]
    assert [choose(LOGITS, [0], [0] * i, SAMPLE) for i in range(16)] == golden


@pytest.mark.parametrize("size", [7, 1001])
def test_probabilities_are_the_same_bits_at_every_processor_level(size: int) -> None:
    logits = (np.random.default_rng(1).standard_normal(size) * 4).astype(np.float32)
    levels = [Ops(Eager(1, target)) for target in runnable_targets()]
    for name in ("softmax", "log_softmax"):
        results = {getattr(level, name)(logits).tobytes() for level in levels}
        assert len(results) == 1, name


def test_greedy_takes_the_lowest_of_equal_ids() -> None:
    assert choose(np.array([1, 5, 3, 5], dtype=np.float32), [0], [], SamplingOptions()) == 1


def test_temperature_zero_is_greedy() -> None:
    assert choose(LOGITS, [0], [], replace(SAMPLE, temperature=0)) == 1


def test_greedy_choice_heeds_penalties_and_ignores_filters() -> None:
    banned = SamplingOptions(bad_words=((1,),), top_k=1, temperature=0.1)
    assert choose(LOGITS, [0], [], banned) == 4
    assert choose(LOGITS, [1], [], SamplingOptions(repetition_penalty=3.0)) == 4
    assert choose(LOGITS, [1], [], SamplingOptions(frequency_penalty=2.0)) == 1, "the prompt does not count"
    assert choose(LOGITS, [0], [1, 4], SamplingOptions(frequency_penalty=2.0)) == 3
    assert choose(LOGITS, [0], [], SamplingOptions(logit_bias={5: 9.0})) == 5


def test_parts_apply_in_the_documented_order() -> None:
    options = replace(SAMPLE, temperature=0.7, top_k=4, top_p=0.8, repetition_penalty=1.5, logit_bias={2: 2.0})
    step = penalties.repetition_penalty(penalties.logit_bias(LOGITS, {2: 2.0}), [1, 2], 1.5)
    share = filters.top_p(filters.weights(filters.top_k(filters.temperature(step, 0.7), 4)), 0.8)
    tokens = [choose(LOGITS, [1], [2] * place, options) for place in range(1, 400)]
    assert set(tokens) == set(np.flatnonzero(share > 0).tolist())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("options", [SamplingOptions(), SAMPLE])
def test_logits_that_are_no_numbers_are_refused(bad: float, options: SamplingOptions) -> None:
    logits = LOGITS.copy()
    logits[2] = bad
    with pytest.raises(LogitsError, match=r"position 3 hold . NaN and . infinite values among 6"):
        choose(logits, [0, 1], [2], options)


def test_nothing_left_to_choose_is_refused() -> None:
    everything = tuple((token,) for token in range(LOGITS.size))
    with pytest.raises(LogitsError, match="leaves no token"):
        choose(LOGITS, [0], [], SamplingOptions(bad_words=everything))
    with pytest.raises(LogitsError, match="no finite value among 6"):
        choose(np.full(6, -np.inf, dtype=np.float32), [0], [], SAMPLE)


def test_logprobs_are_those_of_the_model() -> None:
    found = token_logprob(LOGITS, 4, 3, Sampler(LOGITS.size))
    total = math.log(math.fsum(math.exp(x) for x in LOGITS.tolist()))
    assert found.id == 4
    assert found.logprob == pytest.approx(1.75 - total, abs=1e-6)
    assert [token for token, _ in found.top] == [1, 4, 3]
    assert [value for _, value in found.top] == pytest.approx([2.0 - total, 1.75 - total, 1.0 - total], abs=1e-6)
    assert token_logprob(LOGITS, 0, 0, Sampler(LOGITS.size)).top == ()


def test_the_most_probable_are_ranked_by_id_where_equal() -> None:
    values = np.array([-1, -2, -1, -3, -1], dtype=np.float32)
    assert [token for token, _ in token_logprob(values, 3, 2, Sampler(5)).top] == [0, 2]
    assert [token for token, _ in token_logprob(values, 3, 99, Sampler(5)).top] == [0, 2, 4, 1, 3]


def test_a_penalty_does_not_hide_damaged_logits() -> None:
    logits = LOGITS.copy()
    logits[2] = np.nan
    with pytest.raises(LogitsError, match="1 NaN"):
        choose(logits, [0], [], replace(SAMPLE, bad_words=((2,),)))
