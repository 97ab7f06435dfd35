"""Circuits of heads: the products of the checkpoint's matrices, and their singular directions as tokens."""

import numpy as np
import pytest
from analysis_cases import LIVELY
from gpt2_cases import checkpoint

from glassformer.introspect.circuits import circuit_svd, ov_circuit, qk_circuit
from glassformer.model import Model, load

IDS = [5, 9, 130, 5, 77]


def matrices(layer: int, head: int) -> list[np.ndarray]:
    """W_Q, W_K, W_V [n_embd, head_dim] and W_O [head_dim, n_embd] of the checkpoint."""
    w = checkpoint(LIVELY, seed=11).tensors
    parts = np.split(w[f"h.{layer}.attn.c_attn.weight"], 3, axis=1)
    width = slice(7 * head, 7 * head + 7)
    return [*(part[:, width] for part in parts), w[f"h.{layer}.attn.c_proj.weight"][width]]


def test_raw_circuits_are_products_of_the_weights(lively: Model) -> None:
    q, k, v, o = matrices(1, 2)
    assert np.allclose(ov_circuit(lively, 1, 2, folded=False).matrix, v @ o, atol=1e-5)
    assert np.allclose(qk_circuit(lively, 1, -2, folded=False).matrix, q @ k.T, atol=1e-5)


def test_folded_circuits_read_the_residual_stream_itself(lively: Model) -> None:
    """What a head writes, and its scores, differ between texts by the folded circuit over the scales alone."""
    _, cache = lively.run_with_cache(IDS, ["*.hook_resid_pre", "*.ln1.hook_scale", "*.attn.hook_v", "*.attn.hook_q"])
    x = cache["resid_pre", 1] / cache["blocks.1.ln1.hook_scale"]  # [tokens, n_embd]
    _, _, _, output = matrices(1, 2)
    written = cache["v", 1][:, 2] @ output  # [tokens, n_embd]
    found = x @ ov_circuit(lively, 1, 2).matrix
    assert np.allclose(found - found[0], written - written[0], atol=1e-4)
    query = cache["q", 1][:, 2]  # [tokens, head_dim]
    left = x @ qk_circuit(lively, 1, 2).left
    assert np.allclose(left - left[0], query - query[0], atol=1e-4)


@pytest.mark.parametrize("make", [ov_circuit, qk_circuit])
def test_singular_directions_make_the_matrix_again(make: object, lively: Model) -> None:
    circuit = make(lively, 2, 0)  # type: ignore[operator]
    read, values, written = circuit.svd()
    assert np.allclose((read.T * values) @ written, circuit.matrix, atol=1e-5)
    assert np.allclose(read @ read.T, np.eye(7), atol=1e-5)
    assert (np.diff(values) <= 0).all()
    assert np.allclose(values, np.linalg.svd(circuit.matrix, compute_uv=False)[:7], atol=1e-5)


def test_directions_are_told_in_tokens(lively: Model) -> None:
    w = checkpoint(LIVELY, seed=11).tensors
    circuit = ov_circuit(lively, 1, 2)
    read, _, written = circuit.svd()
    found = circuit_svd(lively, circuit, directions=2, top=3)
    along = w["wte.weight"] @ read[1]
    says = w["lm_head.weight"] @ (w["ln_f.weight"] * (written[1] - written[1].mean()))
    assert found.read[1].ids == np.argsort(-along)[:3].tolist()
    assert found.read_opposite[1].ids == np.argsort(along)[:3].tolist()
    assert found.written[1].ids == np.argsort(-says)[:3].tolist()
    assert found.written_opposite[1].ids == np.argsort(says)[:3].tolist()
    keys = circuit_svd(lively, qk_circuit(lively, 1, 2), directions=1, top=3)
    assert keys.written[0].ids == np.argsort(-(w["wte.weight"] @ qk_circuit(lively, 1, 2).svd()[2][0]))[:3].tolist()


def test_a_head_of_the_story_model_tells_girls_from_boys(story: Model) -> None:
    """Head 4.4 carries who is meant: its first direction is pronouns of one kind against those of the other."""
    for model in (story, load(dtype="q4")):
        found = circuit_svd(model, ov_circuit(model, 4, 4), directions=1, top=6)
        sides = [
            {token.strip().lower() for token in side[0].tokens} for side in (found.written, found.written_opposite)
        ]
        assert any({"he", "him", "his"} <= side for side in sides)
        assert any("she" in side or "her" in side for side in sides)
