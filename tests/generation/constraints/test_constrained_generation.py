"""Constraints in `generate`: lengths, ends, other options, batches, guesses, vocabularies that lack something."""

import json
import re
from typing import Any

import numpy as np
import pytest

from glassformer.generation.constraints.constraint import Choice, JsonObject, JsonSchema, Regex
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.errors import LogitsError, NoTokenizerError, OptionsError
from glassformer.generation.model import TextModel
from glassformer.models.config import GenerationConfig

PAIR = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array"}}, "required": ["a", "b"]}


@pytest.mark.parametrize("tokens", [15, 16, 17, 20, 40])
def test_a_text_is_complete_as_soon_as_the_shortest_one_has_room(tokens: int, piece_model: Any) -> None:
    shortest = len('{"a":"","b":[]}')
    for seed in range(6):
        written = piece_model().generate(
            [seed], constraint=JsonSchema(PAIR), temperature=5.0, seed=seed, max_new_tokens=tokens
        )
        assert tokens >= shortest
        assert written.finish_reason == "stop"
        assert set(json.loads(written.text)) == {"a", "b"}
        assert len(written.ids) <= tokens


def test_where_there_is_no_room_the_reason_is_length(piece_model: Any) -> None:
    written = piece_model().generate([3], constraint=Regex("a{30}"), max_new_tokens=5, temperature=1.0, seed=1)
    assert written.finish_reason == "length"
    assert re.fullmatch("a+", written.text)


def test_texts_end_where_nothing_may_follow_and_only_there_without_an_end_token(piece_model: Any) -> None:
    for eos in (True, False):
        written = piece_model(eos=eos).generate([1], constraint=Choice(["yes", "no"]), temperature=1.0, seed=3)
        assert written.text in ("yes", "no")
        assert written.finish_reason == "stop"
        assert written.ids[-1] < 256 + 60  # no step was spent on an end token
    free = piece_model(eos=False).generate([1], constraint=Regex("(ab)*"), max_new_tokens=9, temperature=1.0, seed=3)
    assert re.fullmatch("(ab)*", free.text)
    assert free.finish_reason == "stop"


def test_the_end_token_waits_for_a_complete_text(piece_model: Any) -> None:
    model = piece_model()
    end = model.tokenizer.end
    for seed in range(8):
        text = model.generate(
            [seed], constraint=Regex("(abc)+"), logit_bias={end: 100.0}, temperature=1.0, seed=seed, max_new_tokens=30
        )
        assert text.text == "abc"
        assert text.ids[-1] == end
        assert text.finish_reason == "stop"
        ignored = model.generate([seed], constraint=Regex("(abc){4}"), logit_bias={end: 100.0}, ignore_eos=True)
        assert ignored.text == "abc" * 4


def test_a_stop_id_is_no_text(piece_model: Any) -> None:
    written = piece_model().generate([2], constraint=Regex("[ab]{3,}x"), stop_ids=[ord("a")], max_new_tokens=9, seed=1)
    assert re.fullmatch("b{3,}x", written.text)


def test_streams_batches_and_guesses_write_the_same(piece_model: Any) -> None:
    model, constraint = piece_model(), JsonSchema({"type": "array", "items": {"enum": ["again and again", 7]}})
    asked: dict[str, Any] = {"constraint": constraint, "temperature": 0.7, "seed": 5, "max_new_tokens": 120}
    prompts = [[1], [5, 6], list(b'["again and again"'), [9]]
    alone = [model.generate(prompt, **asked) for prompt in prompts]
    assert [each.ids for each in model.generate(prompts, batch_size=2, **asked)] == [each.ids for each in alone]
    assert ["".join(model.stream(prompt, **asked)) for prompt in prompts] == [each.text for each in alone]
    assert [model.generate(prompt, speculate=False, **asked).ids for prompt in prompts] == [each.ids for each in alone]


def test_other_options_hold_among_what_is_allowed(piece_model: Any) -> None:
    model = piece_model()
    only = Regex("[xy]{6}")
    biased = model.generate([1], constraint=only, logit_bias={ord("y"): 50.0}, logprobs=3)
    assert biased.text == "yyyyyy"
    assert all(step.logprob <= 0 for step in biased.logprobs)
    assert model.generate([1], constraint=only, bad_words=["x", [ord("y"), ord("y")]], max_new_tokens=1).text == "y"
    with pytest.raises(LogitsError, match="constraint leaves no token"):
        model.generate([1], constraint=only, bad_words=[[ord("x")], [ord("y")]])
    greedy = model.generate([1], constraint=only, temperature=1.0, top_k=1, seed=1)
    assert greedy.ids == model.generate([1], constraint=only).ids


def test_a_vocabulary_without_some_bytes_is_held_to_the_others(piece_model: Any) -> None:
    letters = piece_model(alphabet=b'abcdefghijklmnopqrstuvwxyz{}":,[]')
    for seed in range(5):
        text = letters.generate([seed], constraint=JsonObject(), temperature=5.0, seed=seed, max_new_tokens=50).text
        assert isinstance(json.loads(text), dict)
        assert text.isascii()
    assert letters.generate([1], constraint=Regex("é|\\d|x")).text == "x"
    with pytest.raises(ConstraintError, match="vocabulary lacks"):
        letters.generate([1], constraint=Regex("[0-9]+"))


def test_what_contradicts_a_constraint_is_refused(piece_model: Any) -> None:
    model = piece_model()
    with pytest.raises(OptionsError, match="stop is given beside a constraint"):
        model.generate([1], constraint=JsonObject(), stop="}")
    with pytest.raises(OptionsError, match="must be a Regex"):
        model.generate([1], constraint={"type": "object"})
    with pytest.raises(ConstraintError, match="only the empty text"):
        model.generate([1], constraint=Regex(""))
    silent = TextModel(model.network, None, GenerationConfig.from_dict({}))
    with pytest.raises(NoTokenizerError):
        silent.generate([1], constraint=JsonObject())


def test_a_call_leaves_nothing_behind_in_the_constraint(piece_model: Any) -> None:
    model, constraint = piece_model(), JsonObject()
    first = model.generate([1], constraint=constraint, seed=2, temperature=2.0, max_new_tokens=60)
    model.generate([2], constraint=constraint, seed=9, temperature=2.0, max_new_tokens=30)
    again = model.generate([1], constraint=JsonObject(), seed=2, temperature=2.0, max_new_tokens=60)
    assert again == first


def test_tokens_outside_the_vocabulary_are_never_chosen(piece_model: Any) -> None:
    model = piece_model()
    bias = dict.fromkeys(range(model.tokenizer.end, model.config.vocab_size), 100.0)
    written = model.generate([1], constraint=JsonSchema({"type": "string", "minLength": 9}), logit_bias=bias)
    assert max(written.ids) < model.tokenizer.end
    assert np.isfinite([step.logprob for step in written.logprobs]).all()
