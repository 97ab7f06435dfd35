"""A profile of one generation: how many passes it has, and what it refuses."""

from typing import Any

import pytest

import glassformer
from glassformer.generation.errors import ContextError, OptionsError
from glassformer.generation.model import TextModel
from glassformer.generation.profile import profile_generation
from glassformer.models.config import GenerationConfig
from glassformer.runtime.profiler import ProfileError


@pytest.fixture(scope="module")
def model() -> TextModel:
    return glassformer.load(threads=2)


@pytest.mark.parametrize(("prompt", "new"), [(1, 1), (1, 5), (20, 3), (500, 12)])
def test_one_pass_for_the_prompt_and_one_for_each_token(model: TextModel, prompt: int, new: int) -> None:
    found = profile_generation(model, prompt, new)
    at_the_end = prompt + new == model.config.n_positions  # the window's last token is written but never read
    assert found.tokens == prompt + new - at_the_end
    assert found.decode.tokens == new - at_the_end + (prompt == 1)
    assert found.prefill.tokens == (prompt if prompt > 1 else 0)


def test_context_manager_sees_what_its_block_runs(model: TextModel) -> None:
    with model.profile() as found:
        model.generate([5, 6, 7], max_new_tokens=4, do_sample=False, ignore_eos=True, speculate=False)
    assert found.tokens == 3 + 3
    assert found.spans().python > 0
    assert found.layers()[0].name == "embed"


@pytest.mark.parametrize(("prompt", "new"), [(0, 4), (4, 0), (-1, 4)])
def test_fewer_than_one_token_is_refused(model: TextModel, prompt: int, new: int) -> None:
    with pytest.raises(OptionsError, match="at least 1"):
        profile_generation(model, prompt, new)


def test_more_than_the_window_is_refused(model: TextModel) -> None:
    with pytest.raises(ContextError, match="500 tokens and 13 more exceed the context window of 512"):
        profile_generation(model, 500, 13)


def test_network_of_ones_own_cannot_be_watched(model: TextModel) -> None:
    class Plain:
        config = model.config

    plain: Any = Plain()
    with pytest.raises(ProfileError, match="no executor"):
        TextModel(plain, None, GenerationConfig()).profile()
