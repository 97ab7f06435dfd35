"""A list of prompts: each continuation is the one that its prompt has alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glassformer
from glassformer.generation.errors import ContextError, LogitsError, NoTokenizerError, OptionsError, PromptError
from glassformer.generation.model import TextModel
from glassformer.models.config import GenerationConfig

STARTS = [
    "Once upon a time",
    "A",
    "",
    "The cat sat on",
    "One day, Tom and his friend Lily went to the park. They saw a",
]


@pytest.fixture(scope="module", params=["f32", "q8"])
def story(request: pytest.FixtureRequest) -> TextModel:
    return glassformer.load(dtype=request.param)


@pytest.mark.parametrize("size", [1, 2, 7, 16])
@pytest.mark.parametrize(
    "way", [{"do_sample": False}, {"seed": 9, "top_p": 0.9, "logprobs": 2}], ids=["greedy", "drawn"]
)
def test_every_slot_of_a_batch_gives_the_tokens_of_the_prompt_alone(
    story: TextModel, size: int, way: dict[str, Any]
) -> None:
    prompts = [STARTS[i % len(STARTS)] + " and" * (i // len(STARTS)) for i in range(size)]
    alone = [story.generate(prompt, max_new_tokens=14, **way) for prompt in prompts]
    for turn in range(min(size, 3)):  # every prompt in several slots
        order = [(i + turn * 5) % size for i in range(size)]
        found = story.generate([prompts[i] for i in order], max_new_tokens=14, batch_size=size, **way)
        assert found == [alone[i] for i in order]


def test_those_that_end_make_room_for_those_that_wait(table_network: type, model_of: Callable[..., TextModel]) -> None:
    network = table_network(n_positions=200)
    model = model_of(network)
    prompts = [[i % 30, 3, (7 * i) % 30] for i in range(23)]
    alone = [model.generate(prompt, max_new_tokens=60) for prompt in prompts]
    assert len({len(each.ids) for each in alone}) > 4, "they end at different times"
    network.batches.clear()
    network.caches.clear()
    assert model.generate(prompts, max_new_tokens=60, batch_size=4) == alone
    assert max(network.batches) == 4
    assert len(network.caches) == 4
    longest_possible = -(-sum(len(each.ids) for each in alone) // 4) + 60
    assert len(network.batches) <= longest_possible
    assert network.batches[: len(network.batches) // 2] == [4] * (len(network.batches) // 2)


def test_ids_arrays_and_tuples_are_lists_of_prompts_too(model: TextModel) -> None:
    alone = [model.generate([1, 2], max_new_tokens=5), model.generate([3], max_new_tokens=5)]
    for prompts in ([[1, 2], [3]], ([1, 2], [3]), [(1, 2), (3,)], [np.array([1, 2]), np.array([3])]):
        assert model.generate(prompts, max_new_tokens=5) == alone
    assert model.generate(("bc", "d"), max_new_tokens=5) == alone
    assert model.generate(["bc"], max_new_tokens=5) == alone[:1]


def test_a_list_of_ids_stays_one_prompt(model: TextModel) -> None:
    assert model.generate([1, 2], max_new_tokens=3).prompt_ids == [1, 2]
    assert model.generate((1, 2), max_new_tokens=3).prompt_ids == [1, 2]
    assert isinstance(model.generate([], max_new_tokens=3).ids, list)


def test_without_a_seed_each_prompt_gets_one_that_repeats_it(model: TextModel) -> None:
    found = model.generate(["a"] * 6, temperature=2.0, max_new_tokens=20, ignore_eos=True)
    assert len({each.seed for each in found}) == 6
    assert len({tuple(each.ids) for each in found}) == 6
    for each in found:
        assert model.generate("a", temperature=2.0, max_new_tokens=20, ignore_eos=True, seed=each.seed) == each
    assert {each.seed for each in model.generate(["a", "b"], temperature=2.0, seed=4, max_new_tokens=2)} == {4}


def test_one_bad_prompt_is_named_before_anything_runs(table_network: type, model_of: Callable[..., TextModel]) -> None:
    network = table_network(n_positions=10)
    model = model_of(network)
    with pytest.raises(ContextError, match=r"prompt 1 has 11 tokens .* holds 10"):
        model.generate([[1], [1] * 11, [2]])
    with pytest.raises(ContextError, match=r"prompt 2 has 5 tokens and max_length is 4"):
        model.generate([[1], [1], [2] * 5], max_length=4)
    with pytest.raises(PromptError, match="prompt 1 holds id 99 at place 0"):
        model.generate([[1], [99]])
    with pytest.raises(PromptError, match="prompt 1 is of type int"):
        model.generate([[1], 5])  # type: ignore[list-item]
    with pytest.raises(PromptError, match="prompt 1 is of type NoneType"):
        model.generate(["a", None])  # type: ignore[list-item]
    with pytest.raises(NoTokenizerError):
        TextModel(network, None, GenerationConfig()).generate([[1], "a"])  # type: ignore[list-item]
    assert network.calls == []


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None, "4"])
def test_a_batch_size_that_is_none_is_refused(model: TextModel, size: Any) -> None:
    with pytest.raises(OptionsError, match=r"batch_size is .* whole number of at least 1"):
        model.generate(["a", "b"], batch_size=size)


def test_nan_in_one_of_them_is_an_error(
    table_network: type, model_of: Callable[..., TextModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = table_network()
    row = network.row
    monkeypatch.setattr(network, "row", lambda ids: row(ids) * np.float32(np.nan if ids[0] == 7 else 1))
    with pytest.raises(LogitsError, match="NaN"):
        model_of(network).generate([[1], [7], [2]], max_new_tokens=3)


def test_a_batch_of_one_may_be_larger_than_the_batch(model: TextModel) -> None:
    assert model.generate(["abc"], batch_size=10**9, max_new_tokens=4) == [model.generate("abc", max_new_tokens=4)]
