"""What `TextModel` accepts as text, and what it says where it cannot."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from glassformer.errors import GlassformerError
from glassformer.generation.errors import ContextError, NoTokenizerError, OptionsError, PromptError
from glassformer.generation.model import TextModel
from glassformer.models.config import GenerationConfig


def test_text_and_ids_are_the_same_prompt(model: TextModel) -> None:
    ids = model.ids("hello")
    by_text = model.generate("hello", max_new_tokens=5)
    for same in (ids, tuple(ids), np.array(ids), np.array(ids, dtype=np.uint8)):
        assert model.generate(same, max_new_tokens=5) == by_text


def test_logits_have_a_row_per_token(model: TextModel) -> None:
    logits = model.logits("hello")
    assert logits.shape == (5, model.config.vocab_size)
    assert logits.dtype == np.float32
    assert np.array_equal(model.logits(model.ids("hel")), logits[:3])


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([1, -1], "holds id -1 at place 1; this model's ids reach from 0 to 31"),
        ([32], "holds id 32 at place 0"),
        ([2**70], "holds id"),
        ([1.0], "holds 1.0 at place 0; a token id is a whole number"),
        ([True], "holds True at place 0"),
        ([None], "holds None"),
        (["a"], "holds 'a'"),
        (b"abc", "is of type bytes"),
        (None, "is of type NoneType; give text"),
        (5, "is of type int"),
        ({1: 2}, "is of type dict"),
        (np.zeros((2, 2), dtype=np.int64), "shape (2, 2)"),
        (np.array([1.5]), "holds"),
        (np.array(3), "shape ()"),
    ],
)
def test_prompts_that_are_no_ids_are_refused(model: TextModel, prompt: Any, message: str) -> None:
    several = isinstance(prompt, list) and isinstance(prompt[0], str)  # which is a prompt to `generate` each
    for run in (model.stream, model.logits, model.score, *(() if several else (model.generate,))):
        with pytest.raises(PromptError) as caught:
            run(prompt)
        assert message in str(caught.value)


def test_an_empty_prompt_starts_from_the_text_boundary(model: TextModel) -> None:
    end = model.config.eos_token_id
    assert model.generate("", max_new_tokens=4) == model.generate([end], max_new_tokens=4)
    assert model.generate([], max_new_tokens=4).prompt_ids == [end]


def test_an_empty_prompt_without_a_boundary_is_refused(table_network: type, model_of: Callable[..., TextModel]) -> None:
    with pytest.raises(PromptError, match="the prompt is empty"):
        model_of(table_network(eos=None)).generate("")
    with pytest.raises(PromptError, match="the prompt is empty"):
        model_of(table_network(eos=50256)).generate("")
    assert model_of(table_network(eos=None), bos_token_id=3).generate("", max_new_tokens=1).prompt_ids == [3]


def test_an_end_of_text_beyond_the_vocabulary_is_passed_over(
    table_network: type, model_of: Callable[..., TextModel]
) -> None:
    assert len(model_of(table_network(eos=50256)).generate("a", max_new_tokens=9).ids) == 9


@pytest.fixture
def wordless(table_network: type) -> TextModel:
    return TextModel(table_network(), None, GenerationConfig())


def test_without_a_vocabulary_ids_work(wordless: TextModel, model: TextModel) -> None:
    found = wordless.generate([1, 2], max_new_tokens=5)
    assert found.ids == model.generate([1, 2], max_new_tokens=5).ids
    assert found.text == ""
    assert wordless.score([1, 2, 3]) == model.score([1, 2, 3])


@pytest.mark.parametrize(
    "run",
    [
        lambda model: model.generate("a"),
        lambda model: model.logits("a"),
        lambda model: model.score("a"),
        lambda model: model.stream([1]),
        lambda model: model.generate([1], stop="x"),
        lambda model: model.generate([1], bad_words=["x"]),
    ],
)
def test_without_a_vocabulary_text_is_refused(wordless: TextModel, run: Callable[[TextModel], object]) -> None:
    with pytest.raises(NoTokenizerError, match="no vocabulary"):
        run(wordless)


def test_a_vocabulary_larger_than_the_model_is_noticed(table_network: type, model_of: Callable[..., TextModel]) -> None:
    with pytest.raises(PromptError, match="holds id 25"):
        model_of(table_network(vocab_size=10, eos=None)).generate("az")


def test_a_vocabulary_smaller_than_the_model_gives_no_text(
    table_network: type, model_of: Callable[..., TextModel]
) -> None:
    found = model_of(table_network(vocab_size=90, eos=None)).generate("a", max_new_tokens=40)
    assert max(found.ids) > 31
    assert len(found.text) == sum(token < 31 for token in found.ids)


@pytest.mark.parametrize("run", ["generate", "stream"])
def test_options_reach_the_loop(model: TextModel, run: str) -> None:
    with pytest.raises(OptionsError, match=r"temperature is -1.*top_p is 7") as caught:
        getattr(model, run)("a", temperature=-1, top_p=7)
    assert isinstance(caught.value, GlassformerError)
    ids = set(model.generate("a", bad_words=["c"], logit_bias={4: -99.0}, max_new_tokens=50, ignore_eos=True).ids)
    assert not ids & {2, 4}


def test_every_option_reaches_both_calls(model: TextModel) -> None:
    given: dict[str, Any] = {
        "max_length": 30, "do_sample": True, "temperature": 1.4, "top_k": 20, "top_p": 0.97, "min_p": 0.01,
        "typical_p": 0.99, "repetition_penalty": 1.2, "presence_penalty": 0.3, "frequency_penalty": 0.2,
        "logit_bias": {3: 1.0}, "bad_words": ["zz"], "seed": 3, "stop": ["qq"], "stop_ids": [9], "ignore_eos": True,
        "logprobs": 2, "speculate": False,
    }  # fmt: skip
    found = model.generate("a", **given)
    assert model.stream("a", **given).finish() == found
    changed: dict[str, Any] = given | {"max_length": 3}
    assert len(model.generate("a", **changed).ids) <= 2


def test_the_logits_of_nothing_and_of_too_much_are_refused(model: TextModel) -> None:
    with pytest.raises(PromptError, match="empty"):
        model.logits("")
    with pytest.raises(ContextError, match=r"65 tokens .* holds 64"):
        model.logits([1] * 65)
