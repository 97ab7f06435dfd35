"""Attribution in folded coordinates, against TransformerLens with its weights folded, where it is installed."""

from pathlib import Path

import numpy as np
import pytest
from gpt2_cases import BASE, checkpoint, random_ids, save

import glassformer
from glassformer.models.locate import EMBEDDED

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("folder", ["story", "random"])
def test_heads_components_and_neurons_add_what_transformer_lens_says(folder: str, tmp_path: Path) -> None:
    """TransformerLens 4 in compatibility mode: layer normalisations folded, weights centred, value biases folded."""
    torch = pytest.importorskip("torch")
    bridges = pytest.importorskip("transformer_lens.model_bridge", reason="TransformerLens is not installed")
    place = EMBEDDED
    if folder == "random":
        drawn = checkpoint({**BASE, "n_layer": 3}, 8)
        place = save(tmp_path, drawn.values, drawn.tensors)
    model = glassformer.load(place, dtype="f32")
    ids = random_ids(5, 12, model.config.vocab_size)
    bridge = bridges.TransformerBridge.boot_transformers(str(place), device="cpu", dtype=torch.float32)
    bridge.enable_compatibility_mode()
    with torch.no_grad():
        _, theirs = bridge.run_with_cache(torch.tensor([ids]))
        direction = bridge.W_U[:, 3] - bridge.W_U[:, 17]
        last = {"layer": -1, "pos_slice": -1}
        heads = theirs.apply_ln_to_stack(theirs.stack_head_results(**last), **last)[:, 0] @ direction
        neurons = theirs.apply_ln_to_stack(theirs.stack_neuron_results(**last), **last)[:, 0] @ direction
        stack, labels = theirs.decompose_resid(**last, return_labels=True)
        parts = dict(zip(labels, theirs.apply_ln_to_stack(stack, **last)[:, 0] @ direction, strict=True))
    _, cache = model.run_with_cache(ids)
    found = cache.logit_attribution(3, 17, unit="head").values[..., 0]  # [n_layer, n_head]
    near = 1e-4 * float(np.abs(found).max())
    assert np.allclose(found.ravel(), heads.numpy(), atol=near)
    found = cache.logit_attribution(3, 17, unit="neuron").values[..., 0]  # [n_layer, n_inner]
    assert np.allclose(found.ravel(), neurons.numpy(), atol=near)
    found = cache.logit_attribution(3, 17).values[..., 0]  # [n_layer, 2]
    for layer, (attention, mlp) in enumerate(found):
        assert attention == pytest.approx(float(parts[f"{layer}_attn_out"]), abs=near)
        assert mlp == pytest.approx(float(parts[f"{layer}_mlp_out"]), abs=near)
