"""Weights as analysis reads them: layer normalisations folded into what follows them, biases where they belong.

Layer normalisation is (x - mean(x)) / scale * weight + bias. Its weight, the subtraction of the mean and its bias are
linear, so they fold into the matrix that reads the result (Elhage et al., 2021, "A Mathematical Framework for
Transformer Circuits"); a head's attention sums to 1, so its value bias is the same at every position and folds into
the bias of the attention's output. All of it is made when asked for: no weight of the model changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.introspect.networks import network_of
from glassformer.runtime.unpacked import columns, mean_column, onto, times

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LogitDirection:
    """A logit, or the difference of two, as a linear function of the last residual stream x [n_embd] of a scale.

    logit = (x @ vector - mean(x) * lean) / scale + bias + (the mean logit, where `centred` and of a single token).

    Attributes:
        vector: the final normalisation's weight times the unembedding, [n_embd].
        lean: what the mean of x is multiplied with: 0 where it has been folded into `vector`.
        bias: of the final normalisation's bias.
        mean_vector, mean_bias: the same of the mean logit, where that is apart.
    """

    vector: Float32
    lean: float
    bias: float
    mean_vector: Float32 | None = None
    mean_bias: float = 0.0


def logit_direction(model: TextModel, token: int, against: int | None, *, folded: bool) -> LogitDirection:
    """The direction of a token's logit, or of its difference to another's.

    folded: the mean of the residual stream is subtracted in the vector, and the logit is that above the mean logit of
    the vocabulary (which a softmax does not see); otherwise both stay as they are.
    """
    w = network_of(model).weights
    ids = [token] if against is None else [token, against]
    unembedding = columns(w.lm_head, ids)  # [1 or 2, n_embd]
    u = unembedding[0] if against is None else unembedding[0] - unembedding[1]  # [n_embd]
    mean = mean_column(w.lm_head) if folded and against is None else None  # [n_embd]
    if mean is not None:
        u = u - mean
    vector, bias = w.ln_f.weight * u, float(w.ln_f.bias @ u)
    if not folded:
        return LogitDirection(vector, float(vector.sum(dtype=np.float64)), bias)
    if mean is None:
        return LogitDirection(centred(vector), 0.0, bias)
    return LogitDirection(centred(vector), 0.0, bias, centred(w.ln_f.weight * mean), float(w.ln_f.bias @ mean))


def centred(vector: Float32) -> Float32:
    """A vector without its mean: x @ centred(v) is (x - mean(x)) @ v.  [..., n_embd] -> the same."""
    found: Float32 = vector - vector.mean(-1, keepdims=True)
    return found


def output_of_heads(model: TextModel, layer: int, vector: Float32) -> Float32:
    """What each number of `hook_z` writes along a direction [n_embd]: [n_head, head_dim]."""
    config, block = model.config, network_of(model).weights.h[layer]
    return times(block.attn_c_proj.weight, vector[:, None]).reshape(config.n_head, config.head_dim)


def output_of_neurons(model: TextModel, layer: int, vector: Float32) -> Float32:
    """What each neuron writes along a direction [n_embd]: [n_inner]."""
    return times(network_of(model).weights.h[layer].mlp_c_proj.weight, vector[:, None])[:, 0]


def value_bias(model: TextModel, layer: int) -> Float32:
    """The part of each head's values that is the same for all texts: [n_head, head_dim].

    The bias of the values, and what they make of the bias of the normalisation before them.
    """
    config, block = model.config, network_of(model).weights.h[layer]
    values = range(2 * config.n_embd, 3 * config.n_embd)
    shifted = onto(block.ln_1.bias[None], block.c_attn.weight, values)[0]  # [n_embd]
    bias: Float32 = block.c_attn.bias[values.start :] + shifted  # [n_embd]
    return bias.reshape(config.n_head, config.head_dim)
