"""Directions of the residual stream as tokens: what they are written from, and what they make a model say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.introspect.folding import centred
from glassformer.introspect.html import bar_list
from glassformer.introspect.networks import network_of
from glassformer.introspect.results import Result
from glassformer.introspect.tokens import token_texts

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RankedTokens(Result):
    """Tokens in an order, and the number that puts each in its place.

    Attributes:
        ids, tokens, values: best first, [count].
    """

    ids: list[int]
    tokens: list[str]
    values: list[float]

    def _repr_html_(self) -> str:
        """The tokens with their numbers."""
        return bar_list([repr(token) for token in self.tokens], self.values, label="tokens")


def logit_effects(model: TextModel, vectors: Float32) -> Float32:
    """What vectors in the last residual stream add to logits where its scale is 1.

    Through the final normalisation's weight and the unembedding, without the means of the vectors and of the logits.
    vectors: [count, n_embd] -> [count, vocab_size].
    """
    w = network_of(model).weights
    effects = network_of(model).ops.linear(centred(vectors) * w.ln_f.weight, w.lm_head)  # [count, vocab_size]
    return centred(effects)


def embedding_products(model: TextModel, vectors: Float32) -> Float32:
    """How far each token's embedding lies along vectors: [count, n_embd] -> [count, vocab_size]."""
    network = network_of(model)
    return centred(network.ops.linear(vectors, network.weights.wte))


def greatest(model: TextModel, values: Float32, count: int) -> RankedTokens:
    """The tokens with the greatest of values [vocab_size], equal ones by id."""
    count = max(0, min(count, len(values)))
    order = np.argsort(-values, kind="stable")[:count].tolist()
    return RankedTokens(order, token_texts(model, order), values[order].tolist())


def least(model: TextModel, values: Float32, count: int) -> RankedTokens:
    """The tokens with the lowest of values [vocab_size], lowest first, equal ones by id."""
    found = greatest(model, -values, count)
    return RankedTokens(found.ids, found.tokens, [-value for value in found.values])
