"""Patching: exact at its ends, and in between what functions called at the sites give."""

import json

import numpy as np
import pytest
from analysis_cases import OTHER, TEXT

from glassformer.introspect.hooks import HookPoint
from glassformer.introspect.metrics import LogitDifference, logit_difference
from glassformer.introspect.patching import HEADED, PLAIN, SQUARE, Float32, patch_sweep
from glassformer.model import Model

IDS, CHANGED = [3, 40, 7, 99, 7], [3, 41, 7, 99, 8]
DIFFERENCE = LogitDifference(5, 17)


def by_hooks(model: Model, site: str, layer: int, head: int | None, position: int | None) -> float:
    """The metric of the changed text with one activation of the other one, by a function called at its site."""
    source = model.run_with_cache(IDS)[1][site, layer]

    def put(x: Float32, hook: HookPoint) -> Float32:
        if site in SQUARE:
            x = x.swapaxes(0, 1)  # [queries, n_head, keys]
        new = source.swapaxes(0, 1) if site in SQUARE else source
        rows = slice(None) if position is None else position
        if head is None:
            x[rows] = new[rows]
        else:
            x[rows, head] = new[rows, head]
        return x.swapaxes(0, 1) if site in SQUARE else x

    logits = model.run_with_hooks(CHANGED, [(f"blocks.{layer}.*hook_{site}", put)])
    return DIFFERENCE(logits)


def test_the_whole_residual_stream_brings_back_the_clean_run_exactly(each_story: Model) -> None:
    metric = logit_difference(each_story, " She", " He")
    for site in ("resid_pre", "resid_mid", "resid_post"):
        found = patch_sweep(each_story, TEXT, OTHER, metric, site, over=("layer",))
        assert found.values.tolist() == [found.clean] * 6
        assert found.normalised.tolist() == [1.0] * 6
        assert found.clean != found.corrupted


@pytest.mark.parametrize("site", ["z", "q", "resid_pre", "mlp_out", "post"])
def test_a_run_patched_with_itself_is_the_same_bit_for_bit(site: str, each_story: Model) -> None:
    shown: list[bytes] = []

    def metric(logits: Float32) -> float:
        shown.append(logits.tobytes())
        return 0.0

    over = ("layer",) if site in PLAIN else ("layer", "head")
    patch_sweep(each_story, TEXT, TEXT, metric, site, over, metric_at=None)
    assert len(shown) == 2 + (6 if site in PLAIN else 36)
    assert set(shown) == {each_story.logits(TEXT).tobytes()}


@pytest.mark.parametrize("site", [*HEADED, *SQUARE, *PLAIN])
def test_each_variant_is_what_a_function_at_the_site_gives(site: str, lively: Model) -> None:
    axes = ("layer", "position") if site in PLAIN else ("layer", "head", "position")
    some = {} if site in PLAIN else {"heads": [2, 0]}
    found = patch_sweep(lively, IDS, CHANGED, DIFFERENCE, site, axes, layers=[-1, 1], positions=[1, 4], **some)
    assert found.axes[0] == [2, 1]
    assert found.clean == DIFFERENCE(lively.logits(IDS))
    assert found.corrupted == DIFFERENCE(lively.logits(CHANGED))
    for index in np.ndindex(found.values.shape):
        place = dict(zip(axes, (axis[i] for axis, i in zip(found.axes, index, strict=True)), strict=True))
        expected = by_hooks(lively, site, place["layer"], place.get("head"), place["position"])
        near = 1e-5 if site in SQUARE else 0.0
        assert found.values[index] == pytest.approx(expected, abs=near, rel=0)


def test_what_is_not_swept_over_is_patched_whole(lively: Model) -> None:
    found = patch_sweep(lively, IDS, CHANGED, DIFFERENCE, "z", ("head", "layer"))
    assert found.values.shape == (4, 3)
    assert found.values[3, 1] == by_hooks(lively, "z", 1, 3, None)
    whole = patch_sweep(lively, IDS, CHANGED, DIFFERENCE, "v", ("layer",))
    assert whole.values[2] == by_hooks(lively, "v", 2, None, None)


def test_variants_do_not_see_each_other(lively: Model) -> None:
    together = patch_sweep(lively, IDS, CHANGED, DIFFERENCE)
    for layer, head in ((0, 3), (2, 1)):
        alone = patch_sweep(lively, IDS, CHANGED, DIFFERENCE, layers=[layer], heads=[head])
        assert alone.values[0, 0] == together.values[layer, head]


def test_the_metric_is_shown_the_position_that_it_asks_for(lively: Model) -> None:
    early = patch_sweep(lively, IDS, CHANGED, DIFFERENCE, metric_at=1)
    whole = patch_sweep(lively, IDS, CHANGED, lambda logits: DIFFERENCE(logits[:2]), metric_at=None)
    assert np.array_equal(early.values, whole.values)
    assert early.clean == DIFFERENCE(lively.logits(IDS)[:2])


def test_it_becomes_plain_values(lively: Model) -> None:
    found = json.loads(json.dumps(patch_sweep(lively, IDS, CHANGED, DIFFERENCE).to_dict(), allow_nan=False))
    assert np.allclose(found["normalised"], (np.array(found["values"]) - found["corrupted"]) /
                       (found["clean"] - found["corrupted"]))  # fmt: skip
    same = patch_sweep(lively, IDS, IDS, DIFFERENCE)
    assert np.isnan(same.normalised).all()
    assert same.to_dict()["normalised"] is None
