"""The places of a forward pass that have a name; the names are TransformerLens's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from math import prod
from typing import TYPE_CHECKING

from glassformer.introspect.errors import IntrospectionError
from glassformer.models import gpt2
from glassformer.models.config import GPT2Config
from glassformer.models.sites import site_axes
from glassformer.runtime.quantized import QuantizedMatrix

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

# Sites that the forward pass names by the one that they come with.
BESIDE = {"hook_scale": "hook_normalized", "attn.hook_result": "hook_attn_out"}
# What writes them, by the last part of the name; all others are products.
KERNELS = {
    "hook_embed": "embedding", "hook_pos_embed": "embedding", "hook_scale": "deviation",
    "hook_normalized": "layer_norm", "hook_attn_scores": "attention", "hook_pattern": "attention",
    "hook_z": "attention",
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A place in the forward pass.

    Attributes:
        name: as TransformerLens has it.
        axes: the names of the array's axes with their sizes, 0 for those that grow with the text.
        source: file and line where the forward pass names it, such as "models/gpt2.py:180".
        kernel: what writes it, where nothing else is looked at.
    """

    name: str
    axes: tuple[tuple[str, int], ...]
    source: str = ""
    kernel: str = ""

    def shape(self, tokens: int) -> tuple[int, ...]:
        """The shape of the array for so many tokens."""
        return tuple(size or tokens for _, size in self.axes)

    def nbytes(self, tokens: int) -> int:
        """Bytes of the array for so many tokens, in float32."""
        return 4 * prod(self.shape(tokens))


def sites(config: GPT2Config, *, quantized: bool = False) -> tuple[Site, ...]:
    """All sites of a model, in the order in which they are computed.

    quantized: whether its weights are of eight or four bits.
    """
    return tuple(
        Site(name, axes, source_of(tail(name)), kernel_of(name, quantized)) for name, axes in site_axes(config).items()
    )


def sites_of(model: TextModel) -> tuple[Site, ...]:
    """All sites of a model."""
    head = getattr(getattr(model.network, "weights", None), "lm_head", None)
    return sites(model.config, quantized=isinstance(head, QuantizedMatrix))


def tail(name: str) -> str:
    """A name without its layer: "attn.hook_q" of "blocks.3.attn.hook_q"."""
    return name.split(".", 2)[2] if name.startswith("blocks.") else name


@cache
def source_of(name: str) -> str:
    """Where the forward pass names a site, whose name is given without its layer."""
    lines = inspect.getsource(gpt2).splitlines()
    for beside, named in BESIDE.items():
        name = name.replace(beside, named)
    for word in (name, name.rpartition(".")[2]):
        for number, line in enumerate(lines, 1):
            if re.search(rf'["./]{re.escape(word)}"', line):
                return f"models/gpt2.py:{number}"
    return ""


def kernel_of(name: str, quantized: bool) -> str:
    """The kernel that writes a site."""
    if name == "blocks.0.hook_resid_pre":
        return "pairs"
    if name == "hook_embed" and quantized:
        return "embedding_q8"
    return KERNELS.get(name.rpartition(".")[2], "matmul_quantized" if quantized else "matmul")


def chosen(config: GPT2Config, names: str | Sequence[str] | None) -> tuple[Site, ...]:
    """The sites that globs name; None: all but `hook_result`, which is n_head times as large as any other.

    Raises:
        IntrospectionError: for a glob that names no site.
    """
    everything = sites(config)
    if names is None:
        return tuple(site for site in everything if not site.name.endswith("hook_result"))
    known = [site.name for site in everything]
    found: set[str] = set()
    for glob in [names] if isinstance(names, str) else names:
        named = [glob] if glob in known else [name for name in known if fnmatchcase(name, glob)]
        if not named:
            raise IntrospectionError(
                f"{glob!r} names no site of this model; names are like 'blocks.0.attn.hook_pattern', "
                "and 'blocks.*.hook_resid_post' is every layer's (`model.sites()` lists them)"
            )
        found.update(named)
    return tuple(site for site in everything if site.name in found)
