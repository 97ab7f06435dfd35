"""Every site of a forward pass as the reference implementations compute it, by the names that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.float32]]
MASKED = -1e30  # scores below are of keys that a query must not see: some write -inf, some the smallest number


def transformers_sites(model: Any, ids: list[int]) -> Arrays:
    """Sites of a `GPT2LMHeadModel`: what goes into its modules and comes out, by hooks of torch.

    Scores and the results of heads are in no module; they are made here of queries, keys, z and the weights, and scores
    are held to the attention weights that the model gives out.
    """
    import torch

    model.set_attn_implementation("eager")
    found: dict[str, Any] = {}
    with ExitStack() as hooks, torch.no_grad():
        for module, site, kind in places(model):
            hooks.callback(module.register_forward_hook(keep(found, site, kind)).remove)
        out = model(torch.tensor([ids]), use_cache=False, output_attentions=True, output_hidden_states=True)
        found["hook_logits"] = out.logits
        for layer, block in enumerate(model.transformer.h):
            found[f"blocks.{layer}.attn.hook_pattern"] = out.attentions[layer]
            assert torch.equal(found[f"blocks.{layer}.hook_resid_pre"], out.hidden_states[layer])
            complete(found, f"blocks.{layer}.", block, len(ids))
        norm_scale(found, "ln_final.hook_scale", found.pop("ln_final.in"), model.transformer.ln_f)
    return {
        site: x.reshape(x.shape[-2:] if site == "hook_pos_embed" else x.shape[1:]).numpy() for site, x in found.items()
    }


def places(model: Any) -> list[tuple[Any, str, str]]:
    """(module, site, "in" or "out"): where the values of sites go in or come out."""
    body = model.transformer
    found = [(body.wte, "hook_embed", "out"), (body.wpe, "hook_pos_embed", "out")]
    found += [(body.ln_f, "ln_final.in", "in"), (body.ln_f, "ln_final.hook_normalized", "out")]
    for layer, block in enumerate(body.h):
        at = f"blocks.{layer}."
        found += [
            (block.ln_1, at + "hook_resid_pre", "in"), (block.ln_1, at + "ln1.hook_normalized", "out"),
            (block.attn.c_attn, at + "qkv", "out"), (block.attn.c_proj, at + "attn.hook_z", "in"),
            (block.attn.c_proj, at + "hook_attn_out", "out"), (block.ln_2, at + "hook_resid_mid", "in"),
            (block.ln_2, at + "ln2.hook_normalized", "out"), (block.mlp.c_fc, at + "mlp.hook_pre", "out"),
            (block.mlp.act, at + "mlp.hook_post", "out"), (block.mlp.c_proj, at + "hook_mlp_out", "out"),
            (block, at + "hook_resid_post", "out"),
        ]  # fmt: skip
    return found


def keep(found: dict[str, Any], site: str, kind: str) -> Callable[..., None]:
    """A hook of torch that keeps what goes into a module or comes out of it."""

    def hook(module: Any, given: tuple[Any, ...], out: Any) -> None:
        value = given[0] if kind == "in" else out
        found[site] = (value[0] if isinstance(value, tuple) else value).detach().clone()

    return hook


def complete(found: dict[str, Any], at: str, block: Any, tokens: int) -> None:
    """The sites of a layer that no module has of its own."""
    import torch

    attention = block.attn
    heads = (1, tokens, attention.num_heads, attention.head_dim)
    q, k, v = (x.reshape(heads) for x in found.pop(at + "qkv").split(attention.split_size, dim=2))
    z = found[at + "attn.hook_z"].reshape(heads)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * attention.scaling
    scores = scores.masked_fill(torch.ones(tokens, tokens).triu(1).bool(), -torch.inf)
    torch.testing.assert_close(scores.softmax(-1), found[at + "attn.hook_pattern"], rtol=1e-4, atol=1e-6)
    result = torch.einsum("bthd,hde->bthe", z, attention.c_proj.weight.reshape(*heads[2:], -1))
    found |= {at + "attn.hook_q": q, at + "attn.hook_k": k, at + "attn.hook_v": v, at + "attn.hook_z": z}
    found |= {at + "attn.hook_attn_scores": scores, at + "attn.hook_result": result}
    norm_scale(found, at + "ln1.hook_scale", found[at + "hook_resid_pre"], block.ln_1)
    norm_scale(found, at + "ln2.hook_scale", found[at + "hook_resid_mid"], block.ln_2)


def norm_scale(found: dict[str, Any], site: str, x: Any, norm: Any) -> None:
    """What a layer normalisation divides by."""
    found[site] = (x.var(-1, keepdim=True, correction=0) + norm.eps).sqrt()


def transformer_lens_sites(folder: Path, ids: list[int]) -> Arrays:
    """Sites of a model's folder as TransformerLens 4 has them, with raw weights; without those it does not have.

    What a normalisation gives out, weight and bias applied, was its `hook_normalized` until version 3 and is
    `hook_out` now; `hook_normalized` is what it was before them.
    """
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu", dtype=torch.float32)
    with torch.no_grad():
        logits, cache = bridge.run_with_cache(torch.tensor([ids]))
    found = {site: x[0].numpy() for site, x in cache.items()}
    norms = [site for site in found if site.endswith("hook_normalized")]
    outs = {site: found[site.removesuffix("hook_normalized") + "hook_out"] for site in norms}
    return {**found, **outs, "hook_logits": logits[0].numpy()}


def difference(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """The greatest difference of two arrays as a part of the greatest number expected; infinite if masks differ."""
    if found.shape != expected.shape or not np.array_equal(found < MASKED, expected < MASKED):
        return np.inf
    seen = expected >= MASKED
    return float(np.abs(found - expected)[seen].max()) / max(float(np.abs(expected)[seen].max()), 1e-30)
