"""Direct logit attribution: how much each part of a model adds to a logit, or to the difference of two.

The residual stream is a sum, and with the scale of the final layer normalisation as it was in the run, a logit is
linear in it: logit = sum over parts of (part @ direction) / scale + bias (Elhage et al., 2021, "A Mathematical
Framework for Transformer Circuits"; Wang et al., 2022, "Interpretability in the Wild", for differences of logits).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.generation.sampling import check_logits
from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.folding import (
    LogitDirection,
    logit_direction,
    output_of_heads,
    output_of_neurons,
    value_bias,
)
from glassformer.introspect.html import bar_list, heatmap, joined
from glassformer.introspect.lens import ROWS, lens_logits
from glassformer.introspect.networks import network_of
from glassformer.introspect.positions import Positions, rows_of
from glassformer.introspect.results import Result
from glassformer.introspect.tokens import Token, token_id, token_text, token_texts

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

ATTN_OUT, MLP_OUT = "blocks.{}.hook_attn_out", "blocks.{}.hook_mlp_out"
# For each unit: how one is named, and the sites of a layer that are read.
NAMES = {"component": "", "layer": "L{}", "head": "L{}H{}", "neuron": "L{}N{}"}
SITES = {
    "component": (ATTN_OUT, MLP_OUT), "layer": (ATTN_OUT, MLP_OUT), "head": ("blocks.{}.attn.hook_z", MLP_OUT),
    "neuron": (ATTN_OUT, "blocks.{}.mlp.hook_post"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Attribution(Result):
    """What each part adds to a logit, or to the difference of two, at some positions.

    Attributes:
        unit: "component" (attention and feed-forward network of each layer), "layer", "head" or "neuron".
        coordinates: "folded" or "raw", see `logit_attribution`.
        token, against: texts of the tokens; `against` is None for a single logit.
        tokens, positions: where, [positions].
        logits: the logit or difference that is explained, [positions].
        values: what each unit adds, [n_layer, units, positions].
        rest_names, rest: the other parts and what they add, [rest] and [rest, positions].
        remainder: logits - values.sum((0, 1)) - rest.sum(0), [positions]: rounding; with quantised weights also that
            activations are rounded to eight bits before they are multiplied.
    """

    unit: str
    coordinates: str
    token: str
    against: str | None
    tokens: list[str]
    positions: Int64
    logits: Float32
    values: Float32
    rest_names: list[str]
    rest: Float32
    remainder: Float32

    def name(self, layer: int, index: int) -> str:
        """The name of a unit: "L9H6", "L3N17", "L4", "blocks.4.hook_mlp_out"."""
        if self.unit == "component":
            return (ATTN_OUT, MLP_OUT)[index].format(layer)
        return NAMES[self.unit].format(layer, index)

    def best(self, count: int = 10, place: int = -1) -> list[tuple[str, float]]:
        """The parts that add or subtract most at `positions[place]`, by magnitude."""
        units = self.values[..., place].reshape(-1)  # [n_layer * units]
        both = np.concatenate([units, self.rest[:, place]])
        found = []
        for index in np.argsort(-np.abs(both), kind="stable")[:count].tolist():
            inner = index < units.size
            name = self.name(*divmod(index, self.values.shape[1])) if inner else self.rest_names[index - units.size]
            found.append((name, float(both[index])))
        return found

    def _repr_html_(self) -> str:
        """The parts that matter most at the last of the positions, and a map of all units but neurons."""
        what = repr(self.token) if self.against is None else f"{self.token!r} less {self.against!r}"
        label = f"what adds to the logit of {what} after {self.tokens[-1]!r}, {self.coordinates} coordinates"
        names, values = zip(*self.best(20), strict=True)
        bars = bar_list(names, values, label=f"{label}: {self.logits[-1]:.3f} in all")
        if self.unit == "neuron":
            return bars
        return joined(heatmap(self.values[..., -1], label=label, row_name="layer", column_name=self.unit), bars)


def attribution_sites(n_layer: int, unit: str = "component") -> list[str]:
    """The sites that an attribution reads: what to capture for it.

    Raises:
        IntrospectionError: for another unit.
    """
    layers = [site.format(layer) for layer in range(n_layer) for site in SITES[known_unit(unit)]]
    return ["hook_embed", "hook_pos_embed", *layers, f"blocks.{n_layer - 1}.hook_resid_post"]


def known_unit(unit: str) -> str:
    """The unit, if it is one."""
    if unit not in SITES:
        raise IntrospectionError(f"there is no unit {unit!r}; choose from {', '.join(SITES)}")
    return unit


def logit_attribution(
    cache: ActivationCache,
    token: Token,
    against: Token | None = None,
    *,
    unit: str = "component",
    positions: Positions = -1,
    folded: bool = True,
) -> Attribution:
    """How much each part of the model adds to the logit of `token` (less that of `against`).

    In folded coordinates each part is taken without its mean, as the final normalisation takes it; the value bias of
    the heads counts as bias, and so does the bias of the normalisation before them; and a single logit is measured from
    the mean logit of the vocabulary, which is a part of its own, "mean_logit". In raw coordinates parts count as they
    are written, and the subtraction of the mean is a part of its own, "ln_final.centring".

    Args:
        cache: a run with the sites of `attribution_sites` captured.
        token, against: by text or id.
        unit: "component", "layer", "head" or "neuron".
        positions: where; the last one is where the next token is predicted.
        folded: which coordinates.

    Raises:
        IntrospectionError: for a unit, tokens or positions that there are not, or a site that was not captured.
        LogitsError: for NaN in the residual stream.
    """
    model = cache.model
    n_layer = model.config.n_layer
    first, second = token_id(model, token), None if against is None else token_id(model, against)
    rows = rows_of(positions, cache.positions, len(cache.ids))
    last = cache[attribution_sites(n_layer, unit)[-1]][rows]  # [positions, n_embd]
    direction = logit_direction(model, first, second, folded=folded)
    variance = last.var(-1, dtype=np.float64)
    scale = np.sqrt(variance + model.config.layer_norm_epsilon).astype(np.float32)  # [positions]
    places = cache.positions[rows]
    logits = logits_of(model, last, places, first, second)  # [positions]
    parts = Parts(cache, rows, direction.vector, folded)
    units = np.array([parts.units(unit, layer) / scale for layer in range(n_layer)])  # [n_layer, units, positions]
    rest = {name: x / scale for name, x in parts.rest.items()} | dict(constant(direction, last, scale))
    others = np.array(list(rest.values()), np.float32)  # [rest, positions]
    explained = units.sum((0, 1), dtype=np.float64) + others.sum(0, dtype=np.float64)  # [positions]
    return Attribution(
        unit, "folded" if folded else "raw", token_text(model, first),
        None if second is None else token_text(model, second),
        token_texts(model, (cache.ids[place] for place in places)), places, logits, units,
        list(rest), others, (logits - explained).astype(np.float32),
    )  # fmt: skip


def logits_of(model: TextModel, last: Float32, positions: Int64, token: int, against: int | None) -> Float32:
    """The logit of a token, or its difference to another's, as the model computes it.

    last: [positions, n_embd] -> [positions].
    """
    found = np.empty(len(last), np.float32)
    for first in range(0, len(last), ROWS):
        for row, scores in enumerate(lens_logits(model, last[first : first + ROWS]), first):
            check_logits(scores, int(positions[row]) + 1)
            found[row] = scores[token] if against is None else scores[token] - scores[against]
    return found


def constant(
    direction: LogitDirection, last: Float32, scale: Float32
) -> Iterator[tuple[str, npt.NDArray[np.floating]]]:
    """What the final normalisation and the unembedding add, [positions] each."""
    if direction.lean:
        yield "ln_final.centring", -last.mean(-1, dtype=np.float64) * direction.lean / scale
    yield "ln_final.bias", np.full(len(last), direction.bias)
    if direction.mean_vector is not None:
        yield "mean_logit", last @ direction.mean_vector / scale + direction.mean_bias


class Parts:
    """What the parts of the residual stream at some rows are along a direction [n_embd], the scale left aside."""

    def __init__(self, cache: ActivationCache, rows: Int64, vector: Float32, folded: bool) -> None:
        self.cache, self.model, self.rows, self.vector, self.folded = cache, cache.model, rows, vector, folded
        self.rest: dict[str, Float32] = {}  # those that belong to no unit, [positions] each
        for site in ("hook_embed", "hook_pos_embed"):
            self.rest[site] = self.along(site)

    def along(self, site: str) -> Float32:
        """An array of the width of the residual stream: [positions]."""
        found: Float32 = self.cache[site][self.rows] @ self.vector
        return found

    def units(self, unit: str, layer: int) -> Float32:
        """The units of a layer: [units, positions]; what else the layer writes joins `rest`."""
        if unit == "head":
            return self.heads(layer)
        if unit == "neuron":
            return self.neurons(layer)
        both = np.array([self.along(site.format(layer)) for site in SITES[unit]])  # [2, positions]
        return both if unit == "component" else both.sum(0, keepdims=True)

    def heads(self, layer: int) -> Float32:
        """Heads: [n_head, positions]."""
        z = self.cache["z", layer][self.rows]  # [positions, n_head, head_dim]
        outputs = output_of_heads(self.model, layer, self.vector)  # [n_head, head_dim]
        bias = network_of(self.model).weights.h[layer].attn_c_proj.bias @ self.vector
        if self.folded:
            same = value_bias(self.model, layer)  # [n_head, head_dim]
            z, bias = z - same, bias + (same * outputs).sum()
        self.rest[f"blocks.{layer}.attn.bias"] = np.full(len(self.rows), bias, np.float32)
        self.rest[MLP_OUT.format(layer)] = self.along(MLP_OUT.format(layer))
        found: Float32 = np.einsum("phd,hd->hp", z, outputs)
        return found

    def neurons(self, layer: int) -> Float32:
        """Neurons: [n_inner, positions]."""
        post = self.cache["post", layer][self.rows]  # [positions, n_inner]
        bias = network_of(self.model).weights.h[layer].mlp_c_proj.bias @ self.vector
        self.rest[ATTN_OUT.format(layer)] = self.along(ATTN_OUT.format(layer))
        self.rest[f"blocks.{layer}.mlp.bias"] = np.full(len(self.rows), bias, np.float32)
        found: Float32 = (post * output_of_neurons(self.model, layer, self.vector)).T
        return found
