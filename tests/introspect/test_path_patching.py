"""Path patching, against the residual stream summed by hand and against its two runs written out with functions."""

import numpy as np
import pytest
from analysis_cases import OTHER, TEXT

from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.hooks import HookPoint
from glassformer.introspect.lens import lens_logits
from glassformer.introspect.metrics import LogitDifference, logit_difference
from glassformer.introspect.path_patching import Float32, Receiver, path_patch_sweep
from glassformer.model import Model

IDS, CHANGED = [3, 40, 7, 99, 7], [3, 41, 7, 99, 8]
DIFFERENCE = LogitDifference(5, 17)


def runs(model: Model) -> tuple[ActivationCache, ActivationCache]:
    names = ["*.attn.hook_z", "*.attn.hook_result", "*.hook_mlp_out", "*.hook_resid_post"]
    clean, corrupted = (model.run_with_cache(ids, names)[1] for ids in (IDS, CHANGED))
    return clean, corrupted


def test_the_direct_path_to_the_logits_adds_the_difference_of_results(lively: Model) -> None:
    clean, corrupted = runs(lively)
    found = path_patch_sweep(lively, IDS, CHANGED, DIFFERENCE)
    for layer, head in np.ndindex(3, 4):
        sent = corrupted["result", layer][:, head] - clean["result", layer][:, head]  # [tokens, n_embd]
        expected = DIFFERENCE(lens_logits(lively, clean["resid_post", -1] + sent))
        assert found.values[layer, head] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("freeze_mlps", [True, False])
def test_receivers_get_what_the_definition_says(freeze_mlps: bool, lively: Model) -> None:
    """Both runs by functions at sites: all frozen but the sender, then the receivers as they were in the first."""
    clean, corrupted = runs(lively)
    receivers = [Receiver(2, 1, "q"), Receiver(2, 3, "v"), Receiver(1, 0, "k")]
    sender = (0, 2)
    kept: dict[str, Float32] = {}

    def freeze(x: Float32, hook: HookPoint) -> Float32:
        frozen = np.array(clean[hook.name])
        if hook.name == "blocks.0.attn.hook_z":
            frozen[:, sender[1]] = corrupted[hook.name][:, sender[1]]
        return frozen

    def receive(x: Float32, hook: HookPoint) -> Float32 | None:
        if not kept_all:
            kept[hook.name] = np.array(x)
            return None
        for each in receivers:
            if hook.name == f"blocks.{each.layer}.attn.hook_{each.input}":
                x[:, each.head] = kept[hook.name][:, each.head]
        return x

    kept_all = False
    inputs = [(f"blocks.*.attn.hook_{name}", receive) for name in "qkv"]
    sites = ["blocks.*.attn.hook_z", *(["blocks.*.hook_mlp_out"] if freeze_mlps else [])]
    lively.run_with_hooks(IDS, [*inputs, *((site, freeze) for site in sites)])
    kept_all = True
    expected = DIFFERENCE(lively.run_with_hooks(IDS, inputs))
    found = path_patch_sweep(lively, IDS, CHANGED, DIFFERENCE, receivers, freeze_mlps=freeze_mlps)
    assert found.values[sender] == pytest.approx(expected, abs=1e-5)
    assert found.values[2].tolist() == [found.clean] * 4  # they come after all receivers
    assert len(set(found.values[:2].ravel().tolist())) == 8


def test_sending_what_was_there_changes_no_bit(each_story: Model) -> None:
    metric = logit_difference(each_story, " She", " He")
    for receivers in (None, [Receiver(-1, 0, "q"), Receiver(2, 1, "v")]):
        found = path_patch_sweep(each_story, TEXT, TEXT, metric, receivers, layers=[0, 3], heads=[1])
        assert found.values.tolist() == [[found.clean], [found.clean]]
    found = path_patch_sweep(each_story, TEXT, OTHER, metric, layers=[-1], freeze_mlps=False)
    assert (found.values != found.clean).any()
