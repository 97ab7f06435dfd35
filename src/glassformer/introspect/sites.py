"""The places of a forward pass that have a name; the names are TransformerLens's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from glassformer.introspect.errors import IntrospectionError
from glassformer.models.config import GPT2Config


@dataclass(frozen=True)
class Site:
    """A place: its name, and the names of its axes with their sizes, 0 for those that grow with the text."""

    name: str
    axes: tuple[tuple[str, int], ...]

    def shape(self, tokens: int) -> tuple[int, ...]:
        """The shape of the array for so many tokens."""
        return tuple(size or tokens for _, size in self.axes)

    def nbytes(self, tokens: int) -> int:
        """Bytes of the array for so many tokens, in float32."""
        count = 4
        for size in self.shape(tokens):
            count *= size
        return count


def sites(config: GPT2Config) -> tuple[Site, ...]:
    """All sites of a model, in the order in which they are computed."""
    return tuple(_all(config))


def _all(config: GPT2Config) -> Iterator[Site]:
    rows, width = ("tokens", 0), ("n_embd", config.n_embd)
    inner = ("n_inner", config.inner)
    heads = (rows, ("n_head", config.n_head), ("head_dim", config.head_dim))
    square = (("n_head", config.n_head), ("queries", 0), ("keys", 0))
    one = (rows, ("one", 1))
    yield Site("hook_embed", (rows, width))
    yield Site("hook_pos_embed", (rows, width))
    for layer in range(config.n_layer):
        at = f"blocks.{layer}."
        yield Site(at + "hook_resid_pre", (rows, width))
        yield Site(at + "ln1.hook_scale", one)
        yield Site(at + "ln1.hook_normalized", (rows, width))
        for name in ("hook_q", "hook_k", "hook_v"):
            yield Site(f"{at}attn.{name}", heads)
        yield Site(at + "attn.hook_attn_scores", square)
        yield Site(at + "attn.hook_pattern", square)
        yield Site(at + "attn.hook_z", heads)
        yield Site(at + "attn.hook_result", (rows, ("n_head", config.n_head), width))
        yield Site(at + "hook_attn_out", (rows, width))
        yield Site(at + "hook_resid_mid", (rows, width))
        yield Site(at + "ln2.hook_scale", one)
        yield Site(at + "ln2.hook_normalized", (rows, width))
        yield Site(at + "mlp.hook_pre", (rows, inner))
        yield Site(at + "mlp.hook_post", (rows, inner))
        yield Site(at + "hook_mlp_out", (rows, width))
        yield Site(at + "hook_resid_post", (rows, width))
    yield Site("ln_final.hook_scale", one)
    yield Site("ln_final.hook_normalized", (rows, width))
    yield Site("hook_logits", (rows, ("vocab_size", config.vocab_size)))


def chosen(config: GPT2Config, names: str | Sequence[str] | None) -> tuple[Site, ...]:
    """The sites that globs name; None: all but `hook_result`, which is n_head times as large as any other.

    Raises:
        IntrospectionError: for a glob that names no site.
    """
    everything = sites(config)
    if names is None:
        return tuple(site for site in everything if not site.name.endswith("hook_result"))
    globs = [names] if isinstance(names, str) else list(names)
    for glob in globs:
        if not any(fnmatchcase(site.name, glob) for site in everything):
            raise IntrospectionError(
                f"{glob!r} names no site of this model; names are like 'blocks.0.attn.hook_pattern', "
                "and 'blocks.*.hook_resid_post' is every layer's (`model.sites()` lists them)"
            )
    return tuple(site for site in everything if any(fnmatchcase(site.name, glob) for glob in globs))
