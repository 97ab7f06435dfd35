"""Which sites of a model an intervention's name means, and which numbers of a row its selectors pick."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from glassformer.formats.strict_json import brief
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.selectors import Selector, picked
from glassformer.introspect.sites import Site, sites
from glassformer.models.config import GPT2Config

HOME = re.compile(r"blocks\.(\d+)\.")


def layer_of(site: Site) -> int | None:
    """The layer of a site; None before the first and behind the last."""
    found = HOME.match(site.name)
    return int(found[1]) if found else None


def short(name: str) -> str:
    """A name without its layer, its home and its "hook_": "z", "resid_post", "ln1.normalized"."""
    return HOME.sub("", name).removeprefix("attn.").removeprefix("mlp.").replace("hook_", "")


def named_sites(config: GPT2Config, name: str, layer: Selector = None) -> tuple[Site, ...]:
    """The sites that a full name, a glob or a short name means, in the layers that are picked.

    Raises:
        IntrospectionError: for a name of no site, a layer that the model has not, or one beside a site of no layer.
    """
    every = sites(config)
    found = [site for site in every if fnmatchcase(site.name, name)]
    if not found and not name.startswith("blocks."):  # a full name of no site is not the short name of every layer's
        found = [site for site in every if short(site.name) == short(name)]
    if not found:
        known = ", ".join(dict.fromkeys(short(site.name) for site in every))
        raise IntrospectionError(
            f"{brief(name)} names no site of this model; names are like 'blocks.0.attn.hook_z', "
            f"'blocks.*.hook_resid_post', or short: {known}"
        )
    if layer is None:
        return tuple(found)
    layers = set(picked(layer, config.n_layer, "layers"))
    within = tuple(site for site in found if layer_of(site) in layers)
    if not within:
        raise IntrospectionError(f"{found[0].name} is not in layer {layer}; leave `layer` out")
    return within


def is_square(site: Site) -> bool:
    """Whether the site is [n_head, queries, keys] and not [tokens, ...]."""
    return site.axes[-1][0] == "keys"


def has_heads(site: Site) -> bool:
    """Whether there is an array for each head."""
    return any(name == "n_head" for name, _ in site.axes)


def heads(site: Site, head: Selector) -> tuple[int, ...]:
    """The heads that are picked; one where the site has no heads.

    Raises:
        IntrospectionError: for a head that is not there.
    """
    if has_heads(site):
        return picked(head, dict(site.axes)["n_head"], f"heads of {site.name}")
    if head is not None:
        raise IntrospectionError(f"{site.name} has no heads; leave `head` out")
    return (0,)


def components(site: Site, neuron: Selector) -> tuple[int, ...]:
    """The places along the last axis that are picked.

    Raises:
        IntrospectionError: for one beyond the axis.
    """
    name, size = site.axes[-1]
    what = {"n_inner": "neurons", "vocab_size": "tokens of the vocabulary"}.get(name, "components")
    return picked(neuron, size, f"{what} of {site.name}")


def runs(numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of ascending neighbours among numbers: (place of the first among them, the first number, how many)."""
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield start, numbers[start], place - start
            start = place
