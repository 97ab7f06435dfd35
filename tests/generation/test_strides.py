"""Tokens that are chosen and read without coming back to Python: the same as one by one, wherever the text ends."""

from typing import Any

import numpy as np
import pytest

import glassformer
from glassformer.generation import decode
from glassformer.generation.decode import Stride
from glassformer.generation.errors import LogitsError
from glassformer.generation.model import TextModel
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.sampling import MOST, Sampler

WAYS: list[dict[str, Any]] = [
    {"do_sample": False},
    {"seed": 3, "temperature": 0.9},
    {"seed": 4, "temperature": 0.7, "top_k": 30, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.95},
]
PATIENT = 60.0  # seconds: strides grow to MOST tokens


@pytest.fixture(scope="module", params=["f32", "q8"])
def story(request: pytest.FixtureRequest) -> TextModel:
    return glassformer.load(dtype=request.param)


def one_by_one(story: TextModel, monkeypatch: pytest.MonkeyPatch, **asked: Any) -> Any:
    """A continuation whose every token comes back to Python."""
    with monkeypatch.context() as patch:
        patch.setattr(decode, "decoder_of", lambda network: None)
        return story.generate("Once upon a time", **asked)


@pytest.mark.parametrize("way", WAYS, ids=["greedy", "cold", "all filters"])
@pytest.mark.parametrize("speculate", [False, True])
def test_the_tokens_and_their_chances_are_the_same(
    story: TextModel, way: dict[str, Any], speculate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "PATIENCE", PATIENT)
    for length in (1, 2, 3, 8, 40, 75):
        asked = {"max_new_tokens": length, "ignore_eos": True, **way}
        plain = one_by_one(story, monkeypatch, speculate=False, **asked)
        assert story.generate("Once upon a time", speculate=speculate, **asked) == plain
        assert len(plain.ids) == length


def test_an_end_or_a_stop_string_in_a_stride_ends_the_text(story: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PATIENCE", PATIENT)
    for stop in (None, ".", " a ", "e w"):
        plain = one_by_one(story, monkeypatch, seed=5, stop=stop, max_new_tokens=400)
        found = story.generate("Once upon a time", seed=5, stop=stop, max_new_tokens=400)
        assert found == plain
        assert found.finish_reason == plain.finish_reason == "stop"


def test_the_window_is_filled_to_its_end(story: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PATIENCE", PATIENT)
    window = story.config.n_positions
    found = story.generate([5] * (window - 37), ignore_eos=True, do_sample=False, max_new_tokens=window)
    assert (len(found.ids), found.finish_reason) == (38, "length"), "the last token is never read"


def test_logits_that_allow_no_choice_end_a_stride_with_their_place(
    story: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of the position table behind the prompt hold NaN: the message names the position of the token."""
    monkeypatch.setattr(decode, "PATIENCE", PATIENT)
    model = glassformer.load()
    model.network.weights.wpe.data[20] = np.nan  # type: ignore[attr-defined]
    ids = model.ids("Once upon a time")
    with pytest.raises(LogitsError, match="position 21 hold"):
        model.generate(ids, do_sample=False, max_new_tokens=40, ignore_eos=True)
    short = model.generate(ids, do_sample=False, max_new_tokens=20 - len(ids), ignore_eos=True)
    assert len(short.ids) == 20 - len(ids)


def test_a_stride_grows_while_nobody_waits_for_it() -> None:
    stride = Stride()
    counts = []
    for _ in range(7):
        counts.append(stride.count)
        stride.passed(stride.count, 1e-6)
    assert counts == [1, 2, 4, 8, 16, MOST, MOST]
    stride.passed(MOST, MOST * decode.PATIENCE)
    assert stride.count == 1
    stride.passed(1, decode.PATIENCE / 5)
    assert stride.count == 2
    stride.begin()
    assert stride.count == 1


@pytest.mark.parametrize("count", [0, -1, MOST + 1])
def test_more_tokens_than_there_is_room_for_are_refused(story: TextModel, count: int) -> None:
    network: Any = story.network
    sampler, cache = Sampler(story.config.vocab_size), network.new_cache(64)
    network.forward(np.ones(3, np.int32), cache)
    sampler.ask(None, ())
    with pytest.raises(ShapeError, match=f"{count} tokens in one go; this sampler has room for 1 to {MOST}"):
        network.decode(5, cache, sampler, count)
    network.decode(5, cache, sampler, MOST)
    with pytest.raises(ShapeError, match="room for 1 to 0"):
        network.decode(5, cache, sampler, 1)
    assert cache.length == 3 + MOST
