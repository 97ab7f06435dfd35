"""Neurons over a text, and the tokens that their output weights speak for."""

import numpy as np
import pytest
from analysis_cases import LIVELY, TEXT
from gpt2_cases import checkpoint

from glassformer.introspect.neurons import firing, neuron, spoken_for
from glassformer.model import Model, load

IDS = [5, 9, 130, 5, 77]


def test_activations_are_those_of_the_run(story: Model) -> None:
    _, cache = story.run_with_cache(TEXT)
    found = neuron(story, 3, 100, TEXT)
    assert np.array_equal(found.activations, cache["post", 3][:, 100])
    position, token, most = found.best(1)[0]
    assert most == found.activations.max() == found.activations[position]
    assert token == story.known_tokenizer.decode([cache.ids[position]])
    some = story.run_with_cache(TEXT, "*.mlp.hook_post", positions=[1, 4])[1]
    assert np.array_equal(neuron(story, 3, 100, some).activations, found.activations[[1, 4]])


def test_tokens_are_ranked_by_the_effect_on_their_logits(lively: Model) -> None:
    w = checkpoint(LIVELY, seed=11).tensors
    written = w["h.1.mlp.c_proj.weight"][42]
    effects = ((written - written.mean()) * w["ln_f.weight"]) @ w["lm_head.weight"].T
    effects -= effects.mean()
    promoted, suppressed = spoken_for(lively, 1, 42, top=4)
    assert promoted.ids == np.argsort(-effects)[:4].tolist()
    assert suppressed.ids == np.argsort(effects)[:4].tolist()
    assert np.allclose(promoted.values + suppressed.values, effects[promoted.ids + suppressed.ids], atol=1e-5)


@pytest.mark.parametrize("dtype", ["q8", "q4", "bf16-dot"])
def test_small_weights_speak_for_much_the_same(dtype: str, story: Model) -> None:
    exact, small = (spoken_for(model, 5, 178, top=10)[0] for model in (story, load(dtype=dtype)))
    assert len(set(exact.ids) & set(small.ids)) >= 6


def test_a_unit_of_activation_has_that_effect(lively: Model) -> None:
    """Raised by one at a site, the last layer's neuron adds its effect over the final normalisation's scale."""
    from glassformer.introspect.lens import lens_logits

    _, cache = lively.run_with_cache(IDS)
    promoted, _ = spoken_for(lively, -1, 7, top=1)
    residual = cache["resid_post", -1][-1:]
    w = checkpoint(LIVELY, seed=11).tensors["h.2.mlp.c_proj.weight"][7].astype(np.float32)
    step = 1e-2
    change = (lens_logits(lively, residual + step * w) - lens_logits(lively, residual - step * w))[0] / (2 * step)
    scale = float(cache["ln_final.hook_scale"][-1, 0])
    drift = lens_logits(lively, residual)[0]  # the scale itself moves along the residual stream
    x = residual[0] - residual[0].mean()
    turn = float(x @ (w - w.mean())) / (scale**2 * len(x))
    bias = checkpoint(LIVELY, seed=11).tensors
    constant = (bias["lm_head.weight"] @ bias["ln_f.bias"]).astype(np.float32)
    expected = change + turn * (drift - constant)
    token = promoted.ids[0]
    assert promoted.values[0] / scale == pytest.approx(expected[token] - expected.mean(), rel=1e-2)


def test_the_neurons_that_fire_most_at_a_position(story: Model) -> None:
    _, cache = story.run_with_cache(TEXT)
    every = np.array([cache["post", layer][4] for layer in range(6)])
    found = firing(cache, 4, count=7)
    assert [each.activation for each in found] == np.sort(every.ravel())[::-1][:7].tolist()
    assert all(every[each.layer, each.index] == np.float32(each.activation) for each in found)
    assert {each.layer for each in firing(cache, layers=[-1])} == {5}
