"""What eight and four bits cost the story model on stories of its own, as KL divergence from its predictions in f32."""

import numpy as np
import pytest

import glassformer
from glassformer.runtime import ops


@pytest.fixture(scope="module")
def exact() -> glassformer.Model:
    return glassformer.load(dtype="f32")


@pytest.fixture(scope="module")
def stories(exact: glassformer.Model) -> list[list[int]]:
    """Ids of some stories, prompts included."""
    told = [exact.generate("Once upon a time", seed=seed) for seed in range(4)]
    return [story.prompt_ids + story.ids for story in told]


@pytest.mark.parametrize(("dtype", "nats"), [("f16", 1e-6), ("q8", 0.001), ("q4", 0.05)])
def test_divergence_from_f32(exact: glassformer.Model, stories: list[list[int]], dtype: str, nats: float) -> None:
    rounded = glassformer.load(dtype=dtype)
    divergences = []
    for ids in stories:
        p, q = (np.asarray(ops.log_softmax(model.logits(ids)), np.float64) for model in (exact, rounded))
        divergences += (np.exp(p) * (p - q)).sum(-1).tolist()
    assert -1e-9 < np.mean(divergences) < nats
    assert rounded.network.weights.nbytes < exact.network.weights.nbytes
