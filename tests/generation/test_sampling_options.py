"""Which values are accepted, and how the others are named."""

import math
from typing import Any

import numpy as np
import pytest

from glassformer.generation.asked import DEFAULT_NEW_TOKENS, Asked, Vocabulary, resolve
from glassformer.generation.errors import OptionsError
from glassformer.generation.options import GenerationOptions, SamplingOptions
from glassformer.models.config import GenerationConfig

ACCEPTED: dict[str, list[Any]] = {
    "temperature": [0, 0.0, 1, 1e-9, 1e9, np.float32(0.5)],
    "top_k": [0, 1, 10**30, np.int64(4)],
    "top_p": [0, 0.5, 1],
    "min_p": [0, 0.5, 1],
    "typical_p": [0, 0.5, 1.0],
    "repetition_penalty": [1e-6, 1.0, 100],
    "presence_penalty": [-2, 0, 2.0],
    "frequency_penalty": [-2.0, 0, 2],
    "seed": [0, 1, 2**64 - 1],
}
REFUSED: dict[str, list[Any]] = {
    "temperature": [-0.1, math.nan, math.inf, "1", True, 10**400],
    "top_k": [-1, 1.5, "3", True],
    "top_p": [-0.01, 1.01, math.nan, "0.5"],
    "min_p": [-0.01, 1.01, math.nan],
    "typical_p": [-0.01, 1.01, math.nan],
    "repetition_penalty": [0, -1.0, math.nan, math.inf],
    "presence_penalty": [-2.01, 2.01, math.nan],
    "frequency_penalty": [-2.01, 2.01, math.nan],
    "seed": [-1, 2**64, 1.0, "1", True],
    "do_sample": [1, "yes"],
}


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, values in ACCEPTED.items() for v in values])
def test_accepted(name: str, value: Any) -> None:
    assert getattr(SamplingOptions(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, values in REFUSED.items() for v in values])
def test_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionsError) as caught:
        SamplingOptions(**{name: value})
    assert str(caught.value).startswith(f"{name} is {value!r}; it must be ")


def test_every_problem_is_in_one_message() -> None:
    with pytest.raises(OptionsError) as caught:
        SamplingOptions(temperature=-1, top_p=2, top_k=-3, min_p=0.5)
    assert [problem.split()[0] for problem in caught.value.problems] == ["temperature", "top_k", "top_p"]
    assert str(caught.value) == "; ".join(caught.value.problems)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be a whole number of at least 1"),
        ({"max_new_tokens": 2.0}, "max_new_tokens is 2.0"),
        ({"max_length": 0}, "max_length is 0"),
        ({"logprobs": -1}, "logprobs is -1; it must be a whole number from 0 to 1000"),
        ({"stop": ("",)}, "stop is"),
        ({"stop": ("a", 3)}, "stop is"),
    ],
)
def test_lengths_and_stops_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        GenerationOptions(**options)
    assert message in str(caught.value)


VOCABULARY = Vocabulary(size=100, eos_ids=frozenset({99}), encode=lambda text: [ord(letter) % 100 for letter in text])
SILENT = GenerationConfig()


def resolved(recommended: GenerationConfig = SILENT, **asked: Any) -> GenerationOptions:
    return resolve(Asked(**asked), recommended, VOCABULARY)


def test_nothing_asked_is_greedy_with_the_documented_length() -> None:
    options = resolved()
    assert options.sampling.greedy
    assert (options.max_new_tokens, options.max_length) == (DEFAULT_NEW_TOKENS, None)
    assert options.stop_ids == {99}


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "typical_p"])
def test_a_temperature_or_filter_asks_for_sampling(name: str) -> None:
    assert not resolved(**{name: 0.5}).sampling.greedy
    assert resolved(**{name: 0.5}, do_sample=False).sampling.greedy


def test_temperature_zero_is_greedy_whatever_else_is_said() -> None:
    assert resolved(GenerationConfig(do_sample=True, temperature=0.7), temperature=0).sampling.greedy
    assert resolved(temperature=0, do_sample=True).sampling.greedy


def test_the_model_recommends_and_the_caller_decides() -> None:
    story = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.95, max_new_tokens=300)
    options = resolved(story)
    assert (options.sampling.do_sample, options.sampling.temperature, options.sampling.top_p) == (True, 0.6, 0.95)
    assert options.max_new_tokens == 300
    own = resolved(story, temperature=1.5, max_length=20)
    assert (own.sampling.temperature, own.sampling.top_p) == (1.5, 0.95)
    assert (own.max_new_tokens, own.max_length) == (None, 20)
    assert resolved(story, do_sample=False).sampling.greedy


def test_recommended_lengths() -> None:
    assert resolved(GenerationConfig(max_length=20)).max_length == 20
    assert resolved(GenerationConfig(max_length=20, max_new_tokens=7)).max_new_tokens == 7
    assert resolved(GenerationConfig(max_length=20, max_new_tokens=7)).max_length is None
    assert resolved(max_length=9, max_new_tokens=5).max_length == 9


def test_a_fresh_seed_is_drawn_unless_one_is_given() -> None:
    assert resolved(seed=5).sampling.seed == 5
    assert len({resolved().sampling.seed for _ in range(8)}) > 1


def test_stops() -> None:
    assert resolved(stop="end", stop_ids=[3, 4]).stop == ("end",)
    assert resolved(stop=["a", "b"]).stop == ("a", "b")
    assert resolved(stop_ids=[3, 4]).stop_ids == {3, 4, 99}
    assert resolved(stop_ids=[3], ignore_eos=True).stop_ids == {3}


def test_bad_words_as_text_are_forbidden_with_and_without_a_space() -> None:
    assert resolved(bad_words=["d", " d", [7, 8]]).sampling.bad_words == ((0,), (32, 0), (32, 0), (7, 8))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"stop_ids": [100]}, "stop_ids names id 100; this model's ids reach from 0 to 99"),
        ({"stop_ids": 3}, "stop_ids is 3; it must be a list"),
        ({"stop_ids": "3"}, "stop_ids is '3'; it must be a list"),
        ({"logit_bias": {-1: 1.0}}, "logit_bias names id -1"),
        ({"logit_bias": {"3": 1.0}}, "logit_bias names id '3'"),
        ({"logit_bias": {3: math.nan}}, "logit_bias[3] is nan; it must be a finite number"),
        ({"logit_bias": [3]}, "logit_bias is [3]; it must map"),
        ({"bad_words": "word"}, "bad_words is 'word'; it must be a list"),
        ({"bad_words": [3]}, "bad_words is [3]"),
        ({"bad_words": [[]]}, "bad_words is [[]]"),
        ({"bad_words": [[True]]}, "bad_words names id True"),
        ({"bad_words": [[5, 100]]}, "bad_words names id 100"),
        ({"stop": 3}, "stop is 3; it must be a string"),
        ({"stop": ""}, "stop is ['']; it must be"),
    ],
)
def test_what_names_no_id_of_the_vocabulary_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        resolved(**asked)
    assert message in str(caught.value)
