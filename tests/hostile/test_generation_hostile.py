"""Whatever is asked of generation: an answer within its limits, or one error of ours."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassformer.errors import GlassformerError
from glassformer.generation.continuation import Generation
from glassformer.generation.errors import ContextError, LogitsError
from glassformer.generation.model import TextModel
from glassformer.generation.stopping import StopStrings
from glassformer.models.config import GenerationConfig, GPT2Config

VOCAB, WINDOW = 12, 20


class FixedNetwork:
    """The same logits after every token."""

    def __init__(self, logits: npt.NDArray[np.float32]) -> None:
        self.logits = logits
        self.config = GPT2Config(vocab_size=VOCAB, n_positions=WINDOW, n_embd=4, n_head=1, n_layer=1)
        self.largest_cache = 0

    def new_cache(self, capacity: int) -> "NoCache":
        self.largest_cache = max(self.largest_cache, capacity)
        return NoCache()

    def new_caches(self, capacities: Sequence[int]) -> list["NoCache"]:
        return [self.new_cache(capacity) for capacity in capacities]

    def forward(self, ids: npt.NDArray[np.int32], cache: Any, *, last_only: bool = True) -> npt.NDArray[np.float32]:
        return np.tile(self.logits, (1 if last_only else len(ids), 1))

    def forward_batch(self, parts: Sequence[Any], *, last_only: bool = True) -> npt.NDArray[np.float32]:
        return np.concatenate([self.forward(*part, last_only=last_only) for part in parts])


class NoCache:
    """Remembers nothing."""

    length = capacity = 0

    def truncate(self, length: int) -> None:
        """Nothing to forget."""


def model_with(logits: npt.NDArray[np.float32]) -> TextModel:
    return TextModel(FixedNetwork(logits), None, GenerationConfig())


def outcome(model: TextModel, options: dict[str, Any]) -> Generation | GlassformerError:
    """The continuation of a short prompt, or our error; any other error fails the test."""
    try:
        return model.generate([1, 2, 3], **options)
    except GlassformerError as error:
        return error


PLAIN = np.linspace(-3, 3, VOCAB, dtype=np.float32)
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3),
    st.lists(st.one_of(st.integers(-2, VOCAB + 1), st.floats(), st.text(max_size=2)), max_size=3),
    st.dictionaries(st.one_of(st.integers(-2, VOCAB + 1), st.text(max_size=2)), st.floats(), max_size=2),
    st.lists(st.lists(st.integers(-1, VOCAB), max_size=2), max_size=2), st.just(10**400), st.just(object()),
)  # fmt: skip
NAMES = (
    "max_new_tokens", "max_length", "do_sample", "temperature", "top_k", "top_p", "min_p", "typical_p",
    "repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias", "bad_words", "seed", "stop",
    "stop_ids", "logprobs", "speculate", "batch_size",
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=4))
def test_any_parameter_with_any_value(options: dict[str, Any]) -> None:
    model = model_with(PLAIN)
    found = outcome(model, options)
    if isinstance(found, GlassformerError):
        assert "\n" not in str(found)
        return
    assert 1 <= len(found.ids) <= WINDOW - 3 + 1
    assert all(0 <= token < VOCAB for token in found.ids)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.lists(JUNK, max_size=4), st.tuples(JUNK, JUNK)), st.integers(1, 3))
def test_any_list_of_prompts(prompts: Any, batch_size: int) -> None:
    model = model_with(PLAIN)
    try:
        found = model.generate(prompts, batch_size=batch_size, max_new_tokens=3)
    except GlassformerError:
        return
    several = found if isinstance(found, list) else [found]
    assert isinstance(found, Generation) or len(found) == len(prompts)
    assert all(len(each.ids) == 3 for each in several)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=WINDOW), st.floats(0, 2), st.integers(0, 9))
def test_guessing_ahead_never_changes_a_token(prompt: list[int], temperature: float, seed: int) -> None:
    model = model_with(PLAIN)
    plain, guessed = (
        model.generate(prompt, temperature=temperature, seed=seed, speculate=speculate) for speculate in (False, True)
    )
    assert plain == guessed


SANE = {
    "temperature": st.floats(0, 1e300),
    "top_k": st.integers(0, 2 * VOCAB),
    "top_p": st.floats(0, 1),
    "min_p": st.floats(0, 1),
    "typical_p": st.floats(0, 1),
    "repetition_penalty": st.floats(1e-300, 1e300, exclude_min=True),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "logit_bias": st.dictionaries(st.integers(0, VOCAB - 1), st.floats(-1e308, 1e308), max_size=3),
    "seed": st.integers(0, 2**64 - 1),
}
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.fixed_dictionaries({}, optional=SANE), st.lists(FLOATS, min_size=VOCAB, max_size=VOCAB))
def test_any_finite_logits_under_any_allowed_options(options: dict[str, Any], logits: list[float]) -> None:
    model = model_with(np.array(logits, dtype=np.float32))
    found = outcome(model, options | {"max_new_tokens": 4, "logprobs": 2, "do_sample": True})
    if isinstance(found, GlassformerError):
        assert isinstance(found, LogitsError)
        assert "leaves no token" in str(found), "a bias or penalty may overflow, and nothing else may fail"
        assert options.keys() & {"logit_bias", "repetition_penalty"}
        return
    assert len(found.ids) == 4
    assert not any(math.isnan(token.logprob) for token in found.logprobs)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.nan])
@pytest.mark.parametrize("place", [0, 5, VOCAB - 1])
def test_no_token_comes_out_of_nan(bad: float, place: int) -> None:
    logits = PLAIN.copy()
    logits[place] = bad
    model = model_with(logits)
    for run in (model.generate, model.score):
        with pytest.raises(LogitsError):
            run([1, 2, 3])
    with pytest.raises(LogitsError):
        model.generate([1, 2, 3], temperature=1.0, top_p=0.5)


def test_huge_requests_reserve_no_more_than_the_window() -> None:
    model = model_with(PLAIN)
    model.generate([1, 2, 3], max_new_tokens=10**18)
    assert model.network.largest_cache <= WINDOW  # type: ignore[attr-defined]
    with pytest.raises(ContextError, match=f"1000000 tokens .* holds {WINDOW}"):
        model.generate([1] * 1_000_000)


def test_a_thousand_stop_strings_and_a_long_one() -> None:
    watch = StopStrings(["x" * 100_000, *(f"{number}!" for number in range(1000))])
    shown = "".join(watch.push("x" * 50)[0] for _ in range(100))
    assert shown + watch.flush() == "x" * 5000


def test_stop_strings_that_nearly_match_are_not_compared_again_and_again() -> None:
    """A text that is held back for one of them, at each of whose characters others begin anew."""
    watch = StopStrings([*(["b" * 1000] * 32), *(["a" * 500 + "b" * 500] * 31), "a" * 1000])
    start = time.perf_counter()
    for _ in range(999):
        assert watch.push("a") == ("", False)
    assert time.perf_counter() - start < 1
    assert watch.push("a") == ("", True)
