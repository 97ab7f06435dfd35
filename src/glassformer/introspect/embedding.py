"""Texts as vectors: the final hidden state of their tokens, as the head reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from glassformer.generation.errors import LogitsError, OptionsError
from glassformer.generation.network import decoder_of
from glassformer.generation.prompt import are_several
from glassformer.introspect.capture import run_batch
from glassformer.introspect.networks import network_of
from glassformer.introspect.positions import Positions
from glassformer.introspect.tokens import text_ids

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel
    from glassformer.generation.prompt import Prompt, Prompts

Float32 = npt.NDArray[np.float32]
Pooling = Literal["mean", "last"]
SITE = "ln_final.hook_normalized"  # normalised, scale and offset applied


def embed(model: TextModel, prompt: Prompt | Prompts, pooling: Pooling = "mean") -> Any:
    """A text as a vector [n_embd].

    Args:
        prompt: text or ids; a list of several is read as one batch and gives a list of vectors, each to the bits that
            it has alone.
        pooling: the mean over the text's tokens, or the state of the last one.

    Raises:
        OptionsError: for another pooling.
        LogitsError: if the network computes NaN.
        PromptError, ContextError: as `TextModel.logits`.
    """
    if not are_several(prompt):
        return vectors_of(model, [text_ids(model, prompt)], pooling)[0]
    names = ["the text"] if len(prompt) == 1 else [f"text {place}" for place in range(len(prompt))]
    return vectors_of(model, [text_ids(model, each, what) for each, what in zip(prompt, names, strict=True)], pooling)


def vectors_of(model: TextModel, ids: Sequence[Sequence[int]], pooling: Pooling) -> list[Float32]:
    """The same for texts of ids."""
    if pooling not in ("mean", "last"):
        raise OptionsError([f"pooling is {pooling!r}; it must be mean or last"])
    vectors = []
    for states in final_states(model, ids, [-1] if pooling == "last" else None) if ids else []:
        vector: Float32 = states.mean(0, dtype=np.float64).astype(np.float32)  # [kept, n_embd] -> [n_embd]
        if not np.isfinite(vector).all():
            message = "the network computes numbers that are not finite for this text; its weights may be damaged"
            raise LogitsError(message)
        vectors.append(vector)
    return vectors


def final_states(model: TextModel, ids: Sequence[Sequence[int]], positions: Positions) -> list[Float32]:
    """What the head would read of each text [kept, n_embd], the same bits as at `SITE`."""
    network = network_of(model)
    if decoder_of(network) is None:  # interventions may be about the final normalisation
        return [cache[SITE] for _, cache in run_batch(model, ids, SITE, positions=positions)]
    # Observed there, a pass computes logits of all rows, which nobody wants here: so it is normalised afterwards.
    last, norm = f"blocks.{network.config.n_layer - 1}.hook_resid_post", network.weights.ln_f
    found = run_batch(model, ids, last, positions=positions, last_only=True)
    return [network.ops.layer_norm(cache[last], norm.weight, norm.bias, network.epsilon) for _, cache in found]
