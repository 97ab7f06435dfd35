"""Analyses of an edited model read the edited run."""

import numpy as np
from analysis_cases import OTHER, TEXT

from glassformer.introspect.interventions import Zero
from glassformer.introspect.metrics import logit_difference
from glassformer.introspect.path_patching import path_patch_sweep
from glassformer.model import Model

EDITS = (Zero("z", layer=1, head=4), Zero("mlp_out", layer=3, position=-1))


def test_the_lens_and_attribution_are_of_the_edited_run(story: Model) -> None:
    edited = story.edited(*EDITS)
    logits, cache = edited.run_with_cache(TEXT)
    assert not np.array_equal(logits, story.logits(TEXT))
    lens = edited.logit_lens(cache, top=1)
    assert np.array_equal(lens.top_ids[-1, :, 0], logits.argmax(-1))
    found = cache.logit_attribution(" She", " He", unit="head", folded=False)
    assert found.values[1, 4, 0] == 0.0
    assert abs(found.remainder[0]) < 1e-4


def test_sweeps_start_in_the_middle_of_an_edited_run(story: Model) -> None:
    metric = logit_difference(story, " She", " He")
    with story.edit(*EDITS) as edited:
        found = edited.patch_sweep(TEXT, OTHER, metric, "resid_pre", ("layer",))
        assert found.clean == metric(edited.logits(TEXT))
        assert found.values.tolist() == [found.clean] * 6
        same = path_patch_sweep(edited, TEXT, TEXT, metric, layers=[5])
        assert same.values.tolist() == [[same.clean] * 6]
    assert found.clean != metric(story.logits(TEXT))


def test_surprise_and_scores_are_of_the_edited_model(story: Model) -> None:
    edited = story.edited(Zero("pattern", layer=2))
    assert (edited.head_scores("previous_token", TEXT).scores[2] == 0).all()
    assert edited.surprise(TEXT).logprobs[1:].tolist() == edited.score(TEXT).logprobs
