"""Neurons: where in a text one fires, which fire at a position, and what tokens they speak for.

A neuron is a pair of a key and a value (Geva et al., 2021, "Transformer Feed-Forward Layers Are Key-Value Memories"):
its row of the output weights is added to the residual stream in proportion to its activation, and promotes and
suppresses tokens through the final normalisation and the unembedding (Geva et al., 2022, "Transformer Feed-Forward
Layers Build Predictions by Promoting Concepts in the Vocabulary Space").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.introspect.cache import ActivationCache, full_name
from glassformer.introspect.html import bar_list, coloured_tokens, joined
from glassformer.introspect.lens import captured
from glassformer.introspect.networks import network_of
from glassformer.introspect.positions import numbers, rows_of
from glassformer.introspect.readout import RankedTokens, greatest, least, logit_effects
from glassformer.introspect.results import Result
from glassformer.introspect.tokens import token_texts
from glassformer.runtime.unpacked import rows

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Neuron(Result):
    """One neuron over a text.

    Attributes:
        layer, index: which.
        tokens, positions: of the text, [positions].
        activations: after the activation function, [positions].
        promoted, suppressed: tokens whose logits it raises and lowers most, by how much one unit of activation does
            where the final normalisation's scale is 1.
    """

    layer: int
    index: int
    tokens: list[str]
    positions: Int64
    activations: Float32
    promoted: RankedTokens
    suppressed: RankedTokens

    def best(self, count: int = 10) -> list[tuple[int, str, float]]:
        """(position, token, activation) where it fires most, highest first."""
        order = np.argsort(-self.activations, kind="stable")[:count].tolist()
        return [(int(self.positions[i]), self.tokens[i], float(self.activations[i])) for i in order]

    def _repr_html_(self) -> str:
        """The text, coloured by activation, and the tokens that the neuron speaks for and against."""
        label = f"activation of neuron {self.index} in layer {self.layer}"
        text = coloured_tokens(self.tokens, self.activations.tolist(), label=label)
        ends = [
            bar_list([repr(token) for token in side.tokens], side.values, label=what)
            for what, side in (("promoted", self.promoted), ("suppressed", self.suppressed))
        ]
        return joined(text, *ends)


@dataclass(frozen=True)
class Firing:
    """A neuron and its activation."""

    layer: int
    index: int
    activation: float


def neuron(model: TextModel, layer: int, index: int, source: Any, *, top: int = 10) -> Neuron:
    """One neuron over a text, ids or an ActivationCache that holds `mlp.hook_post` of its layer.

    Raises:
        IntrospectionError: for a layer or neuron out of range, or a site that was not captured.
        PromptError, ContextError: as `TextModel.logits`.
    """
    layer, index = place_of(model, layer, index)
    name = full_name(("post", layer), model.config.n_layer)
    cache = captured(model, source, [name])
    promoted, suppressed = spoken_for(model, layer, index, top)
    tokens = token_texts(model, (cache.ids[place] for place in cache.positions))
    activations = np.array(cache[name][:, index])  # [positions]
    return Neuron(layer, index, tokens, cache.positions, activations, promoted, suppressed)


def spoken_for(model: TextModel, layer: int, index: int, top: int = 10) -> tuple[RankedTokens, RankedTokens]:
    """The tokens that a neuron's output promotes most, and those that it suppresses most.

    Raises:
        IntrospectionError: for a layer or neuron out of range.
    """
    layer, index = place_of(model, layer, index)
    matrix = network_of(model).weights.h[layer].mlp_c_proj.weight
    effects = logit_effects(model, rows(matrix, range(index, index + 1)))[0]  # [vocab_size]
    return greatest(model, effects, top), least(model, effects, top)


def place_of(model: TextModel, layer: int, index: int) -> tuple[int, int]:
    """Layer and neuron from 0; negative ones count from the end."""
    (layer,), (index,) = numbers("layer", [layer], model.config.n_layer), numbers("neuron", [index], model.config.inner)
    return layer, index


def firing(
    cache: ActivationCache, position: int = -1, *, count: int = 10, layers: Sequence[int] | None = None
) -> list[Firing]:
    """The neurons with the highest activations at a position, of layers whose `mlp.hook_post` was captured.

    layers: None: all.

    Raises:
        IntrospectionError: for a position or layer out of range, or a site that was not captured.
    """
    place = int(rows_of(position, cache.positions, len(cache.ids))[0])
    found: list[Firing] = []
    for layer in numbers("layer", layers, cache.model.config.n_layer):
        values = cache["post", layer][place]  # [n_inner]
        order = np.argsort(-values, kind="stable")[:count].tolist()
        found += [Firing(layer, index, float(values[index])) for index in order]
    return sorted(found, key=lambda each: -each.activation)[:count]
