"""The logit lens: what a model would say if the residual stream of an earlier layer were its last.

nostalgebraist (2020), "interpreting GPT: the logit lens". The residual stream at a layer goes through the final layer
normalisation and the unembedding, by the same kernels as at the end of the forward pass, so that the lens of the last
layer is the model's logits bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.sampling import check_logits
from glassformer.introspect.cache import ActivationCache
from glassformer.introspect.capture import run_batch
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.html import heatmap, table
from glassformer.introspect.networks import network_of
from glassformer.introspect.positions import Positions, rows_of
from glassformer.introspect.results import Result
from glassformer.introspect.tokens import Token, text_ids, token_ids, token_texts
from glassformer.runtime.sampling import Sampler

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

ROWS = 64  # of logits that are worked on at a time: all layers and positions of GPT-2 small would be 2.7 GB


@dataclass(frozen=True, eq=False)
class LogitLens(Result):
    """What each layer would predict at each position.

    Attributes:
        tokens: the text at `positions`, [positions].
        positions: absolute.
        sites: where the residual stream was read, [depths]; the first is what goes into layer 0.
        top_ids, top_tokens, top_probabilities: the most probable next tokens, best first, [depths, positions, top].
        follow, follow_tokens: ids and texts of the tokens that are followed, [followed].
        ranks: how many tokens are more probable than a followed one, [depths, positions, followed].
        logprobs: natural logarithm of its probability, as ranks.
    """

    tokens: list[str]
    positions: Int64
    sites: list[str]
    top_ids: Int64
    top_tokens: list[list[list[str]]]
    top_probabilities: Float32
    follow: list[int]
    follow_tokens: list[str]
    ranks: Int64
    logprobs: Float32

    def _repr_html_(self) -> str:
        """The most probable token at each depth and position, the cell the darker the more probable it is."""
        if not self.top_ids.shape[2]:
            return table(["site"], [[site] for site in self.sites], label="logit lens without tokens")
        return heatmap(
            self.top_probabilities[..., 0], label="logit lens: probability of the most probable next token",
            rows=self.sites, columns=self.tokens, row_name="site", column_name="token", low=0.0, high=1.0,
            texts=[[cell[0] for cell in line] for line in self.top_tokens],
        )  # fmt: skip


def logit_lens(
    model: TextModel,
    source: Any,
    *,
    layers: Sequence[int] | None = None,
    positions: Positions = None,
    top: int = 5,
    follow: Sequence[Token] = (),
) -> LogitLens:
    """The logit lens of a text, or of what was captured on one.

    Args:
        source: text, ids, or an ActivationCache that holds the residual stream of the layers that are asked for.
        layers: whose residual stream after them is read; None: that before layer 0, and after every layer.
        positions: of the tokens after which predictions are read; None: all.
        top: how many of the most probable tokens are kept.
        follow: tokens, by text or id, whose rank and probability are kept at every depth.

    Raises:
        IntrospectionError: for layers or positions that there are not, sites that were not captured, or tokens that
            the vocabulary does not have.
        PromptError, ContextError: as `TextModel.logits`.
        LogitsError: for NaN in the residual stream.
    """
    sites, wanted = lens_sites(model, layers), token_ids(model, follow)
    cache = captured(model, source, sites, positions)
    rows = rows_of(positions, cache.positions, len(cache.ids))
    residual = np.concatenate([cache[site][rows] for site in sites])  # [depths * positions, n_embd]
    places = cache.positions[rows]
    found = predictions(model, residual, places, max(0, min(top, model.config.vocab_size)), wanted)
    known = np.unique(found[0]).tolist()
    text = dict(zip(known, token_texts(model, known), strict=True))
    best, shares, ranks, logprobs = (x.reshape(len(sites), len(rows), x.shape[1]) for x in found)
    top_tokens = [[[text[i] for i in cell] for cell in line] for line in best.tolist()]
    tokens, followed = (token_texts(model, ids) for ids in ((cache.ids[place] for place in places), wanted))
    return LogitLens(tokens, places, sites, best, top_tokens, shares, wanted, followed, ranks, logprobs)


def predictions(
    model: TextModel, residual: Float32, positions: Int64, top: int, wanted: Sequence[int]
) -> tuple[Array, Array, Array, Array]:
    """What residual streams [rows, n_embd] would predict if they were the last layer's, `positions` over and over.

    Ids of the most probable tokens and their probabilities, both [rows, top]; ranks and logarithms of the probabilities
    of the `wanted` tokens, both [rows, wanted].
    """
    best, shares = np.zeros((len(residual), top), np.int64), np.zeros((len(residual), top), np.float32)
    ranks = np.zeros((len(residual), len(wanted)), np.int64)
    logprobs = np.zeros(ranks.shape, np.float32)
    sampler = Sampler(model.config.vocab_size)
    for first in range(0, len(residual), ROWS):
        for row, scores in enumerate(lens_logits(model, residual[first : first + ROWS]), first):
            check_logits(scores, int(positions[row % len(positions)]) + 1)
            leaders = sampler.leading(scores, top)
            found = sampler.log_probabilities(scores, [*leaders, *wanted])
            best[row, : len(leaders)], shares[row, : len(leaders)] = leaders, np.exp(found[: len(leaders)])
            logprobs[row] = found[len(leaders) :]
            ranks[row] = [np.count_nonzero(scores > scores[token]) for token in wanted]
    return best, shares, ranks, logprobs


def lens_sites(model: TextModel, layers: Sequence[int] | None) -> list[str]:
    """Where the residual stream is read: after some layers, or before the first and after every one."""
    n_layer = model.config.n_layer
    if layers is None:
        return ["blocks.0.hook_resid_pre", *(f"blocks.{layer}.hook_resid_post" for layer in range(n_layer))]
    beyond = [layer for layer in layers if not -n_layer <= layer < n_layer]
    if beyond:
        raise IntrospectionError(f"layer {beyond[0]} is not among the {n_layer} of this model")
    return [f"blocks.{layer % n_layer}.hook_resid_post" for layer in layers]


def captured(model: TextModel, source: Any, sites: list[str], positions: Positions = None) -> ActivationCache:
    """The cache itself, or that of a run on the text."""
    if isinstance(source, ActivationCache):
        return source
    return run_batch(model, [text_ids(model, source)], sites, positions=positions, last_only=True)[0][1]


def lens_logits(model: TextModel, residual: Float32) -> Float32:
    """The end of the forward pass from a residual stream.  [rows, n_embd] -> [rows, vocab_size]."""
    network = network_of(model)
    ln_f, epsilon = network.weights.ln_f, network.config.layer_norm_epsilon
    x = network.ops.layer_norm(residual, ln_f.weight, ln_f.bias, epsilon)  # [rows, n_embd]
    return network.ops.linear(x, network.weights.lm_head)  # [rows, vocab_size]
