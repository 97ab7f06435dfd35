"""Attribution of logits: complete in all units and coordinates, and the numbers that the definitions give."""

import json

import numpy as np
import numpy.typing as npt
import pytest
from analysis_cases import LIVELY, TEXT
from gpt2_cases import checkpoint

from glassformer.introspect.attribution import SITES, Attribution, attribution_sites
from glassformer.introspect.cache import ActivationCache
from glassformer.model import Model, load

UNITS, IDS = list(SITES), [5, 9, 130, 5, 77]


def run(model: Model, text: object = TEXT, unit: str = "head") -> ActivationCache:
    """A cache of what an attribution says that it reads, and no more."""
    return model.run_with_cache(text, attribution_sites(model.config.n_layer, unit))[1]  # type: ignore[call-overload,no-any-return]


def total(found: Attribution) -> npt.NDArray[np.float64]:
    return found.values.sum((0, 1), dtype=np.float64) + found.rest.sum(0, dtype=np.float64)


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "raw"])
@pytest.mark.parametrize("unit", UNITS)
def test_the_parts_sum_to_the_logit(unit: str, folded: bool, story: Model, lively: Model) -> None:
    for model, text, pair in ((story, TEXT, (" cat", " dog")), (lively, IDS, (3, 99))):
        logits, cache = model.run_with_cache(text)[0], run(model, text, unit)
        first, second = (model.ids(each)[0] if isinstance(each, str) else each for each in pair)
        one = cache.logit_attribution(pair[0], unit=unit, positions=None, folded=folded)
        both = cache.logit_attribution(*pair, unit=unit, positions=None, folded=folded)
        assert np.array_equal(one.logits, logits[:, first])
        assert np.array_equal(both.logits, logits[:, first] - logits[:, second])
        for found in (one, both):
            size = np.maximum(np.abs(found.values).sum((0, 1)), np.abs(found.logits))
            assert (np.abs(total(found) - found.logits) < 1e-5 * size).all()
            assert np.allclose(found.remainder, found.logits - total(found), atol=1e-5 * size.max())


@pytest.mark.parametrize(("dtype", "near"), [("f16", 1e-3), ("bf16", 1e-3), ("q8", 0.03)])
def test_the_parts_sum_to_the_logit_of_small_weights(dtype: str, near: float) -> None:
    """With weights of eight bits activations are rounded too, on their way into a product: that is the remainder."""
    cache = run(load(dtype=dtype))
    found = cache.logit_attribution(" cat", " dog", unit="head", positions=None)
    assert np.abs(found.remainder).max() < near * np.abs(found.logits).max()


def test_heads_are_their_results_along_the_direction(lively: Model) -> None:
    """Raw and folded values of heads in float64 from the checkpoint's weights and the captured results."""
    w = checkpoint(LIVELY, seed=11).tensors
    _, cache = lively.run_with_cache(IDS, ["*.attn.hook_result", "ln_final.hook_scale", *attribution_sites(3, "head")])
    direction = w["ln_f.weight"] * (w["lm_head.weight"][3] - w["lm_head.weight"][99])  # [n_embd]
    scale = cache["ln_final.hook_scale"][-1].astype(np.float64)
    raw = cache.logit_attribution(3, 99, unit="head", folded=False)
    folded = cache.logit_attribution(3, 99, unit="head")
    for layer in range(3):
        result = cache["result", layer][-1].astype(np.float64)  # [n_head, n_embd]
        assert np.allclose(raw.values[layer, :, 0], result @ direction / scale, atol=1e-4)
        qkv, shift = w[f"h.{layer}.attn.c_attn.weight"], w[f"h.{layer}.ln_1.bias"]
        bias = (w[f"h.{layer}.attn.c_attn.bias"] + shift @ qkv)[56:]  # [n_embd], of the values
        output = w[f"h.{layer}.attn.c_proj.weight"].reshape(4, 7, 28)
        same = np.einsum("hd,hde->he", bias.reshape(4, 7), output)  # [n_head, n_embd]
        centred = direction - direction.mean()
        assert np.allclose(folded.values[layer, :, 0], (result - same) @ centred / scale, atol=1e-4)


def test_units_add_up_to_coarser_ones(story: Model) -> None:
    _, cache = story.run_with_cache(TEXT)
    by = {unit: cache.logit_attribution(" cat", " dog", unit=unit, folded=False) for unit in UNITS}
    rest = dict(zip(by["head"].rest_names, by["head"].rest[:, 0], strict=True))
    for layer in range(6):
        attention, mlp = by["component"].values[layer, :, 0]
        assert by["layer"].values[layer, 0, 0] == pytest.approx(attention + mlp, abs=1e-5)
        heads = by["head"].values[layer].sum() + rest[f"blocks.{layer}.attn.bias"]
        assert heads == pytest.approx(attention, abs=1e-5)
        assert rest[f"blocks.{layer}.hook_mlp_out"] == pytest.approx(mlp, abs=1e-6)


def test_a_single_logit_is_told_apart_from_the_mean(story: Model) -> None:
    logits, cache = story.run_with_cache(TEXT)
    found = cache.logit_attribution(" cat")
    mean = dict(zip(found.rest_names, found.rest[:, 0], strict=True))["mean_logit"]
    assert mean == pytest.approx(logits[-1].mean(dtype=np.float64), abs=1e-5)
    assert "mean_logit" not in cache.logit_attribution(" cat", " dog").rest_names


def test_parts_have_names(story: Model) -> None:
    _, cache = story.run_with_cache(TEXT)
    names = {unit: cache.logit_attribution(" cat", unit=unit).name(4, 1) for unit in UNITS}
    assert names == {"component": "blocks.4.hook_mlp_out", "layer": "L4", "head": "L4H1", "neuron": "L4N1"}
    found = cache.logit_attribution(" cat", " dog", unit="head")
    best = found.best(1000)
    assert len(best) == 36 + len(found.rest_names)
    sizes = [abs(value) for _, value in best]
    assert sizes == sorted(sizes, reverse=True)
    assert dict(best)["L2H5"] == found.values[2, 5, -1]
    assert (found.token, found.against, found.tokens, found.coordinates) == (" cat", " dog", ["."], "folded")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["values"][2][5] == [float(found.values[2, 5, 0])]


def test_weights_are_as_they_were(story: Model) -> None:
    before = story.logits(TEXT)
    _, cache = story.run_with_cache(TEXT)
    for unit in UNITS:
        cache.logit_attribution(" cat", unit=unit)
    assert np.array_equal(story.logits(TEXT), before)
