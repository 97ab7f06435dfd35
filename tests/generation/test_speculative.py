"""Guessing ahead changes no token, and stops where it does not pay."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glassformer
from glassformer.generation import decode, speculative
from glassformer.generation.model import TextModel
from glassformer.generation.speculative import SIZES, Drafter

REPEATING = "Tom had a red ball. Tom had a red ball. Tom had a red ball. Tom had a"
ALL_FILTERS = {
    "temperature": 0.9, "top_k": 40, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.97, "repetition_penalty": 1.1,
    "presence_penalty": 0.2, "frequency_penalty": 0.1, "logit_bias": {300: 1.5}, "bad_words": ["cat"],
}  # fmt: skip
WAYS: list[dict[str, Any]] = [
    {"do_sample": False},
    {"do_sample": False, "repetition_penalty": 1.3, "logprobs": 3},
    {"seed": 5, "temperature": 0.4},
    {"seed": 6, **ALL_FILTERS, "logprobs": 2},
]


@pytest.fixture
def eager_to_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every match becomes a draft, however doubtful, so that most guesses are wrong."""
    monkeypatch.setattr(speculative, "FIRST_GAIN", 0.0)
    monkeypatch.setattr(speculative, "GAIN", 0.0)
    monkeypatch.setattr(speculative, "CHEAP", 0.0)
    monkeypatch.setattr(decode, "PATIENCE", 0.0)  # look for a match behind every token


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes cost what is assumed of them, however long a busy machine takes."""
    monkeypatch.setattr(speculative.Costs, "note", lambda costs, rows, seconds: None)


@pytest.fixture(scope="module", params=["f32", "q8"])
def story(request: pytest.FixtureRequest) -> TextModel:
    return glassformer.load(dtype=request.param)


@pytest.mark.usefixtures("eager_to_guess")
@pytest.mark.parametrize("way", WAYS, ids=["greedy", "penalty", "cold", "all filters"])
def test_the_tokens_are_the_same(story: TextModel, way: dict[str, Any]) -> None:
    drafted = accepted = 0
    for prompt in (REPEATING, "Once upon a time"):
        plain = story.generate(prompt, max_new_tokens=60, ignore_eos=True, speculate=False, **way)
        guessed = story.generate(prompt, max_new_tokens=60, ignore_eos=True, speculate=True, **way)
        assert guessed == plain
        assert (plain.drafted, plain.accepted) == (0, 0)
        drafted, accepted = drafted + guessed.drafted, accepted + guessed.accepted
    assert drafted > accepted, "some guesses are wrong"
    assert accepted > 0 or "repetition_penalty" in way, "and some are right"


@pytest.mark.usefixtures("eager_to_guess")
@pytest.mark.parametrize(("dtype", "cache_dtype"), [("f16", "f32"), ("bf16", "f16"), ("q4", "q8"), ("q4", "auto")])
def test_the_tokens_are_the_same_whatever_holds_the_numbers(dtype: str, cache_dtype: str) -> None:
    model = glassformer.load(dtype=dtype, cache_dtype=cache_dtype)
    asked = {"max_new_tokens": 30, "seed": 2, "temperature": 0.5, "ignore_eos": True}
    plain = model.generate(REPEATING, speculate=False, **asked)
    guessed = model.generate(REPEATING, speculate=True, **asked)
    assert guessed == plain
    assert guessed.drafted > 0
    several = [REPEATING, "Once", "The", REPEATING + " red", "A", "I", REPEATING]
    assert model.generate(several, **asked) == [model.generate(each, speculate=True, **asked) for each in several]


@pytest.mark.usefixtures("eager_to_guess")
@pytest.mark.parametrize("length", range(1, 24, 2))
def test_every_length_ends_where_it_should(story: TextModel, length: int) -> None:
    window = story.config.n_positions
    prompt = (story.ids(REPEATING) * window)[: window - 6]
    for asked in ({"max_new_tokens": length}, {"max_length": len(prompt) + length}):
        plain, guessed = (story.generate(prompt, speculate=s, do_sample=False, **asked) for s in (False, True))
        assert guessed == plain
        assert len(guessed.ids) <= 7


@pytest.mark.usefixtures("eager_to_guess")
def test_streams_stop_strings_and_stop_ids(story: TextModel) -> None:
    whole = story.generate(REPEATING, max_new_tokens=40, do_sample=False, speculate=False)
    for asked in (
        {"stop": "ball"},
        {"stop": [" red ba", "zz"]},
        {"stop_ids": [whole.ids[5]]},
        {"stop": whole.text[9:14]},
    ):
        wanted = story.generate(REPEATING, max_new_tokens=40, do_sample=False, speculate=False, **asked)
        stream = story.stream(REPEATING, max_new_tokens=40, do_sample=False, speculate=True, **asked)
        assert "".join(stream) == wanted.text
        assert stream.result == wanted


@pytest.mark.usefixtures("untimed")
def test_text_that_repeats_takes_fewer_passes(scripted: Callable[..., TextModel]) -> None:
    text = "abcdefgh " * 20
    model = scripted(text, n_positions=400)
    network: Any = model.network
    found = model.generate("a", speculate=True)
    assert found.text == text
    assert found.accepted > 60
    assert len(network.calls) == len(found.ids) - found.accepted
    assert sum(network.calls) == len(found.ids) + found.drafted - found.accepted
    network.calls.clear()
    assert model.generate("a", speculate=False) == found
    assert set(network.calls) == {1}


@pytest.mark.usefixtures("untimed")
def test_a_step_tells_what_was_guessed(scripted: Callable[..., TextModel]) -> None:
    stream = scripted("abc" * 30, n_positions=400).stream("a")
    steps = list(stream.steps())
    assert sum(step.guessed for step in steps) == stream.result.accepted > 0
    assert sum(step.drafted for step in steps) == stream.result.drafted
    assert not any(step.drafted and step.guessed for step in steps)
    assert all(step.seconds >= 0 for step in steps)


def written(drafter: Drafter, ids: list[int], seconds: Callable[[int], float]) -> tuple[int, float]:
    """Write a text with a drafter. Passes, and the time for them in passes of one token."""
    place, passes, spent = 0, 0, 0.0
    while place < len(ids):
        draft = drafter.propose(len(ids) - place - 1)
        passes, spent = passes + 1, spent + seconds(1 + len(draft))
        drafter.passed(1 + len(draft), seconds(1 + len(draft)))
        drafter.chosen(ids[place])
        place += 1
        for guess in draft:
            if ids[place - 1] != guess or place == len(ids):
                break
            drafter.chosen(ids[place])
            place += 1
    return passes, spent


def usual(rows: int) -> float:
    """The time of a pass: a further row is an eighth."""
    return 1 + (rows - 1) / 8


def test_text_that_does_not_repeat_costs_next_to_nothing() -> None:
    for kinds in (3, 20, 50_000):
        ids = np.random.default_rng(kinds).integers(0, kinds, 1000).tolist()
        assert written(Drafter(ids[:100]), ids, usual)[1] <= 1.03 * len(ids), kinds


def test_a_copy_of_the_prompt_is_written_fast() -> None:
    ids = np.random.default_rng(1).integers(0, 50_000, 600).tolist()
    passes, spent = written(Drafter(ids), ids, usual)
    assert passes < len(ids) / 6
    assert spent < len(ids) / 3


def test_a_network_whose_rows_cost_full_price_is_soon_left_alone() -> None:
    ids = np.random.default_rng(1).integers(0, 50_000, 600).tolist()
    assert written(Drafter(ids), ids, lambda rows: float(rows))[1] < 1.15 * len(ids)


def test_drafts_are_of_few_sizes_and_fit() -> None:
    drafter = Drafter([1, 2, 3] * 40)
    for _ in range(40):
        for token in (1, 2, 3):
            drafter.chosen(token)
    for room in range(20):
        assert len(drafter.propose(room)) in {0, *SIZES} & set(range(room + 1))
    assert drafter.propose(15)[:4] == [1, 2, 3, 1]


def test_the_first_slow_pass_of_a_size_is_not_held_against_it() -> None:
    ids = [1, 2, 3, 4, 5] * 200
    met: set[int] = set()

    def seconds(rows: int) -> float:
        first = rows not in met
        met.add(rows)
        return 50.0 if first else usual(rows)

    passes, _ = written(Drafter([]), ids, seconds)
    assert passes < 200


@pytest.mark.parametrize(("seconds", "idle"), [(1e-4, True), (1e-3, False)])
def test_guessing_is_given_up_where_passes_are_cheap(seconds: float, idle: bool) -> None:
    drafter = Drafter([1, 2, 3])
    for number in range(speculative.ENOUGH):
        assert not drafter.idle
        drafter.passed(1, seconds)
        drafter.chosen(number)
    assert drafter.idle is idle


def test_a_quick_network_is_soon_left_alone(
    scripted: Callable[..., TextModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speculative, "CHEAP", 1.0)
    found = scripted("abcdefgh " * 20, n_positions=400).generate("a", speculate=True)
    assert found.text == "abcdefgh " * 20
    assert found.drafted == 0
