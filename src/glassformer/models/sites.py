"""The names of places in the forward pass, which are TransformerLens's, and the shapes of what is found there."""

from __future__ import annotations

from collections.abc import Iterator

from glassformer.models.config import GPT2Config
from glassformer.runtime.frames import Place

Axes = tuple[tuple[str, int], ...]  # names and sizes; 0 for those that grow with the text


def site_axes(config: GPT2Config) -> dict[str, Axes]:
    """The axes of every site, in the order in which they are computed."""
    rows, width = ("tokens", 0), ("n_embd", config.n_embd)
    found: dict[str, Axes] = {"hook_embed": (rows, width), "hook_pos_embed": (rows, width)}
    for layer in range(config.n_layer):
        found |= {f"blocks.{layer}.{name}": axes for name, axes in block_axes(config)}
    found["ln_final.hook_scale"] = (rows, ("one", 1))
    found["ln_final.hook_normalized"] = (rows, width)
    found["hook_logits"] = (rows, ("vocab_size", config.vocab_size))
    return found


def block_axes(config: GPT2Config) -> Iterator[tuple[str, Axes]]:
    """The sites of one layer."""
    rows, width, n_head = ("tokens", 0), ("n_embd", config.n_embd), ("n_head", config.n_head)
    inner, one = ("n_inner", config.inner), ("one", 1)
    yield "hook_resid_pre", (rows, width)
    yield "ln1.hook_scale", (rows, one)
    yield "ln1.hook_normalized", (rows, width)
    for name in "qkv":
        yield f"attn.hook_{name}", (rows, n_head, ("head_dim", config.head_dim))
    for name in ("attn_scores", "pattern"):
        yield f"attn.hook_{name}", (n_head, ("queries", 0), ("keys", 0))
    yield "attn.hook_z", (rows, n_head, ("head_dim", config.head_dim))
    yield "attn.hook_result", (rows, n_head, width)
    yield "hook_attn_out", (rows, width)
    yield "hook_resid_mid", (rows, width)
    yield "ln2.hook_scale", (rows, one)
    yield "ln2.hook_normalized", (rows, width)
    yield "mlp.hook_pre", (rows, inner)
    yield "mlp.hook_post", (rows, inner)
    yield "hook_mlp_out", (rows, width)
    yield "hook_resid_post", (rows, width)


def place_of(axes: Axes) -> Place:
    """How the array of a site lies in a frame."""
    if axes[0][1]:
        return Place((axes[0][1],), square=True)
    return Place(tuple(size for _, size in axes[1:]))


def site_places(config: GPT2Config) -> dict[str, Place]:
    """The same of every site."""
    return {name: place_of(axes) for name, axes in site_axes(config).items()}
