"""What eight and four bits cost the story model, as KL divergence of its predictions from those in f32."""

import numpy as np
import pytest

from glassformer.models.load import load_network
from glassformer.models.locate import EMBEDDED
from glassformer.runtime import ops
from glassformer.tokenizer.tokenizer import Tokenizer

STORY = (
    "Once upon a time, in a quiet green forest, there was a little fox named Hazel. She loved the brook. One day, "
    "Hazel found a small brass key under the big oak tree. She carried it home and asked, but nobody knew it."
)


@pytest.mark.parametrize(("dtype", "nats"), [("f16", 1e-6), ("q8", 0.001), ("q4", 0.05)])
def test_divergence_from_f32(dtype: str, nats: float) -> None:
    ids = np.array(Tokenizer.load(EMBEDDED).encode(STORY), np.int32)
    exact, rounded = (load_network(EMBEDDED, dtype=d) for d in ("f32", dtype))
    p, q = (
        np.asarray(ops.log_softmax(n.forward(ids, n.new_cache(len(ids)), last_only=False)), np.float64)
        for n in (exact, rounded)
    )
    divergence = float((np.exp(p) * (p - q)).sum(-1).mean())
    assert -1e-9 < divergence < nats
    assert rounded.weights.nbytes < exact.weights.nbytes
