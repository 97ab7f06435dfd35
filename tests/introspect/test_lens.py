"""The logit lens: bit for bit the logits at the end, and in parts no more memory than it says."""

import tracemalloc

import numpy as np
import pytest
from analysis_cases import TEXT

from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.lens import lens_logits, lens_sites, logit_lens
from glassformer.model import Model


def test_the_last_layer_gives_the_logits_bit_for_bit(each_story: Model) -> None:
    logits, cache = each_story.run_with_cache(TEXT)
    assert np.array_equal(lens_logits(each_story, cache["resid_post", -1]), logits)
    assert np.array_equal(lens_logits(each_story, cache["resid_post", -1][3:4]), logits[3:4])


def test_the_last_layer_is_the_model_and_the_first_knows_the_token_alone(story: Model) -> None:
    logits, cache = story.run_with_cache(TEXT)
    found = logit_lens(story, cache, top=3)
    assert found.sites[0] == "blocks.0.hook_resid_pre"
    assert found.sites[1:] == [f"blocks.{layer}.hook_resid_post" for layer in range(6)]
    assert np.array_equal(found.top_ids[-1], np.argsort(-logits, axis=-1, kind="stable")[:, :3])
    assert found.top_tokens[-1][0][0] == " upon"


def test_probabilities_and_ranks_are_those_of_the_depth(story: Model) -> None:
    follow = [" girl", 5]
    _, cache = story.run_with_cache(TEXT)
    found = logit_lens(story, cache, top=2, follow=follow)
    assert found.follow_tokens == [" girl", story.known_tokenizer.decode([5])]
    for depth, site in enumerate(found.sites):
        logits = lens_logits(story, cache[site]).astype(np.float64)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        assert np.allclose(found.top_probabilities[depth], -np.sort(-shares)[:, :2], rtol=1e-4)
        for place, token in enumerate(found.follow):
            assert np.allclose(np.exp(found.logprobs[depth, :, place]), shares[:, token], rtol=1e-4)
            assert (found.ranks[depth, :, place] == (logits > logits[:, [token]]).sum(-1)).all()


def test_layers_and_positions_are_chosen(story: Model) -> None:
    whole = logit_lens(story, TEXT, follow=[7])
    some = logit_lens(story, TEXT, layers=[-1, 2], positions=[-1, 3], follow=[7])
    assert some.sites == ["blocks.5.hook_resid_post", "blocks.2.hook_resid_post"]
    assert some.positions.tolist() == [len(story.ids(TEXT)) - 1, 3]
    assert np.array_equal(some.top_ids, whole.top_ids[[-1, 3]][:, [-1, 3]])
    assert np.array_equal(some.ranks, whole.ranks[[-1, 3]][:, [-1, 3]])
    assert some.tokens == [".", whole.tokens[3]]


def test_a_cache_of_some_positions_serves(story: Model) -> None:
    _, cache = story.run_with_cache(TEXT, lens_sites(story, None), positions=[2, 5])
    found = logit_lens(story, cache)
    assert found.positions.tolist() == [2, 5]
    assert np.array_equal(found.top_ids, logit_lens(story, TEXT, positions=[2, 5]).top_ids)
    with pytest.raises(IntrospectionError, match="position 3 was not captured"):
        logit_lens(story, cache, positions=3)


def test_memory_does_not_grow_with_layers_and_positions(story: Model) -> None:
    ids = (story.ids(TEXT) * 20)[:256]
    _, cache = story.run_with_cache(ids, lens_sites(story, None))
    tracemalloc.start()
    try:
        logit_lens(story, cache, top=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    everything = 7 * len(ids) * story.config.vocab_size * 4  # 14.7 MB: [depths, positions, vocab_size]
    assert peak < everything / 3
