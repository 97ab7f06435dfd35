"""`run_with_hooks`: functions are given each array at its site, and what they return is used."""

from typing import Any

import numpy as np
import pytest

from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.hooks import HookPoint
from glassformer.model import Model
from glassformer.runtime.arrays import ShapeError

TEXT = "Once upon a time there was a little dog."


def test_functions_are_given_what_is_captured(lively: Model) -> None:
    ids = list(range(20))
    seen: dict[str, Any] = {}

    def see(x: np.ndarray, hook: HookPoint) -> None:
        seen[hook.name] = x
        assert hook.layer == (int(hook.name.split(".")[1]) if hook.name.startswith("blocks") else None)

    logits = lively.run_with_hooks(ids, [("*", see)])
    whole, cache = lively.run_with_cache(ids, "*")
    assert list(seen) == list(cache)
    np.testing.assert_allclose(logits, whole, rtol=1e-5, atol=1e-5)
    for name, array in cache.items():
        np.testing.assert_allclose(seen[name], array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("site", ["hook_attn_scores", "hook_pattern", "hook_result"])
def test_changes_where_kernels_are_fused_have_effect(lively: Model, site: str) -> None:
    """Another head's scores or pattern in place of one's own, or a head's result twice."""
    ids = list(range(20))
    cache = lively.run_with_cache(ids, "*")[1]
    twice = np.array([1, 2] + [1] * (lively.config.n_head - 2), np.float32)[:, None]
    change = (lambda x, _: x * twice) if site == "hook_result" else (lambda x, _: np.roll(x, 1, axis=0))
    hooks: Any = [(f"blocks.0.attn.{site}", change)]
    seen = {}
    hooks += [("blocks.0.hook_attn_out", lambda x, hook: seen.update({hook.name: x}))]
    logits = lively.run_with_hooks(ids, hooks)
    assert np.abs(logits - lively.logits(ids)).max() > 1e-3
    block = lively.network.weights.h[0]  # type: ignore[attr-defined]
    if site == "hook_result":
        expected = cache["attn_out", 0] + cache["result", 0][:, 1]
        np.testing.assert_allclose(seen["blocks.0.hook_attn_out"], expected, rtol=1e-4, atol=1e-5)
        return
    pattern = np.roll(cache["pattern", 0], 1, axis=0)
    z = np.einsum("hqk,khd->qhd", pattern, cache["v", 0]).reshape(20, -1)
    expected = lively.network.ops.linear(z, block.attn_c_proj.weight, block.attn_c_proj.bias)  # type: ignore[attr-defined]
    np.testing.assert_allclose(seen["blocks.0.hook_attn_out"], expected, rtol=1e-4, atol=1e-5)


def test_functions_follow_each_other(story: Model) -> None:
    doubled: Any = [("blocks.2.hook_mlp_out", lambda x, hook: 2 * x)]
    halved: Any = [("blocks.2.hook_mlp_*", lambda x, hook: x / 2)]
    assert np.array_equal(story.run_with_hooks(TEXT, doubled + halved), story.logits(TEXT))
    assert not np.array_equal(story.run_with_hooks(TEXT, doubled), story.logits(TEXT))


def test_what_is_wrong_is_said(story: Model) -> None:
    with pytest.raises(ShapeError, match="return as much"):
        story.run_with_hooks(TEXT, [("hook_embed", lambda x, hook: x[1:])])
    with pytest.raises(IntrospectionError, match="names no site"):
        story.run_with_hooks(TEXT, [("hook_embedding", lambda x, hook: None)])
    with pytest.raises(ZeroDivisionError):  # a function's own errors are its own
        story.run_with_hooks(TEXT, [("hook_embed", lambda x, hook: 1 / 0)])
    assert np.isfinite(story.logits(TEXT)).all()
