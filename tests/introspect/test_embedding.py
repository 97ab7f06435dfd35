"""Texts as vectors: the state that the head reads, whoever is read beside them."""

import numpy as np
import pytest

import glassformer
from glassformer.generation.errors import ContextError, LogitsError, OptionsError, PromptError
from glassformer.introspect.embedding import SITE
from glassformer.introspect.interventions import Scale

TEXTS = ["Once upon a time", "The cat sat on the mat. " * 8, "A", [5, 6, 7]]


@pytest.fixture(scope="module", params=["f32", "q8"])
def story(request):
    return glassformer.load(dtype=request.param)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_vector_is_the_state_at_the_head_to_the_bit(story, pooling):
    for text in TEXTS:
        states = story.run_with_cache(text, SITE)[1][SITE]  # [tokens, n_embd]
        kept = states[-1:] if pooling == "last" else states
        expected = kept.mean(0, dtype=np.float64).astype(np.float32)
        assert np.array_equal(story.embed(text, pooling=pooling), expected)


def test_several_are_each_as_alone(story):
    for pooling in ("mean", "last"):
        together = story.embed(TEXTS[:3], pooling=pooling)
        for text, vector in zip(TEXTS[:3], together, strict=True):
            assert np.array_equal(vector, story.embed(text, pooling=pooling))
    assert story.embed([TEXTS[3], [1]])[0].shape == (story.config.n_embd,)


def test_interventions_count_wherever_they_are(story):
    for site in (SITE, "blocks.5.hook_resid_post", "blocks.0.hook_mlp_out"):
        changed = story.edited(Scale(site, 0.5))
        states = changed.run_with_cache(TEXTS[0], SITE)[1][SITE]
        assert np.array_equal(changed.embed(TEXTS[0], pooling="last"), states[-1])
        assert not np.array_equal(changed.embed(TEXTS[0]), story.embed(TEXTS[0]))


def test_what_cannot_be_embedded_is_refused(story):
    with pytest.raises(PromptError, match="the text is empty"):
        story.embed("")
    with pytest.raises(PromptError, match="text 1 is empty"):
        story.embed(["a", ""])
    with pytest.raises(ContextError):
        story.embed([5] * 600)
    with pytest.raises(OptionsError, match="pooling is 'max'"):
        story.embed("a", pooling="max")


def test_numbers_that_are_none_are_an_error(story, monkeypatch):
    monkeypatch.setattr(
        "glassformer.introspect.embedding.final_states", lambda *_: [np.full((2, 4), np.nan, np.float32)]
    )
    with pytest.raises(LogitsError, match="not finite"):
        story.embed("a")
