"""The definition of sampling, in NumPy: temperature, filters and draw, in the order in which they apply.

`Sampler.choose` computes the same, compiled; tests hold it to the tokens that this file gives. It is here to be read.

Logits and weights are float32 [vocab_size]. A removed token has the logit minus infinity, or the weight 0. Candidates
are ranked by descending value, equal values by ascending id, so that no result depends on a sorting algorithm. Weights
are counted in whole units, so that none depends on the order of a sum either.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.network import Float32
from glassformer.runtime import ops
from glassformer.runtime.desk import Cut, inverse

Ids = npt.NDArray[np.int64]
Int64 = npt.NDArray[np.int64]
UNIT = 2.0**-42


def temperature(logits: Float32, value: float) -> Float32:
    """Divide by the temperature `value` > 0 (Ackley, Hinton and Sejnowski 1985): below 1 sharpens, above 1 flattens.

    The greatest logit is moved to zero first, which changes no probability and keeps small temperatures from overflow.
    """
    with np.errstate(over="ignore", under="ignore"):
        scaled: Float32 = (logits - logits.max()) * inverse(value)
    return scaled


def ranked(values: Float32) -> Ids:
    """All ids by descending value and then ascending id."""
    return np.argsort(-values, kind="stable")


def only(values: Float32, ids: Ids, removed: float) -> Float32:
    """The values at `ids`, and `removed` everywhere else."""
    kept = np.full_like(values, removed)
    kept[ids] = values[ids]
    return kept


def top_k(logits: Float32, k: int) -> Float32:
    """Keep the `k` most probable tokens, 0 for all (Fan, Lewis and Dauphin 2018, arXiv:1805.04833)."""
    return only(logits, ranked(logits)[:k], -np.inf) if k > 0 else logits


def weights(logits: Float32) -> Float32:
    """Probabilities up to a common factor: the greatest weight is 1."""
    with np.errstate(over="ignore"):
        shifted = logits - logits.max()
    greatest_is_one: Float32 = ops.exp(shifted)
    return greatest_is_one


def units(weights: npt.NDArray[Any]) -> Int64:
    """Weights in whole units, rounded to the nearest."""
    return np.rint(weights.astype(np.float64) / UNIT).astype(np.int64)


def fewest(values: Float32, weights: Float32, share: float) -> Ids:
    """The first ids by descending value and then id whose weights are at least a `share` of all: at least one."""
    ids, counted = ranked(values), units(weights)
    total = int(counted.sum())
    goal = min(max(math.ceil(float(total) * share), 1), total)
    return ids[: int(np.searchsorted(np.cumsum(counted[ids]), goal, side="left")) + 1]


def top_p(weights: Float32, p: float) -> Float32:
    """Keep the nucleus: the fewest most probable tokens whose probabilities sum to at least `p`, and at least one.

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration", arXiv:1904.09751.
    """
    return only(weights, fewest(weights, weights, p), 0.0) if p < 1.0 else weights


def min_p(weights: Float32, fraction: float) -> Float32:
    """Keep tokens that are at least `fraction` times as probable as the most probable one, whose weight is 1.

    Source: Nguyen et al. 2024, "Turning up the heat: min-p sampling", arXiv:2407.01082.
    """
    return np.where(weights.astype(np.float64) >= fraction, weights, np.float32(0.0))


def typical(weights: Float32, logits: Float32, mass: float) -> Float32:
    """Keep the fewest tokens of probability `mass` whose surprisal is nearest to the distribution's entropy.

    Source: Meister, Pimentel, Wiher and Cotterell 2022, "Locally typical sampling", arXiv:2202.00666. Tokens as near to
    the entropy as the last one kept stay too. Surprisal and entropy have the same normalising constant in them, so it
    is enough to look how far logits are from their mean under the distribution.

    Args:
        logits: [vocab_size], whose exponentials the weights are where they were not removed.
    """
    if mass >= 1.0:
        return weights
    logs = np.maximum(logits, np.finfo(np.float32).min)  # finite, so that a weight of 0 makes a product of 0
    moments = units(weights.astype(np.float64) * logs)
    mean = np.float32(float(moments.sum()) / float(units(weights).sum()))
    nearness = np.where(weights > 0, -np.abs(logs - mean), np.float32(-np.inf))
    return np.where(nearness >= nearness[fewest(nearness, weights, mass)[-1]], weights, np.float32(0.0))


def distribution(logits: Float32, cut: Cut) -> Float32:
    """Weights [vocab_size] of what is left to draw from."""
    scaled = top_k(temperature(logits, cut.temperature), cut.top_k)
    left = min_p(top_p(weights(scaled), cut.top_p), cut.min_p)
    return typical(left, scaled, cut.typical_p)


def draw(weights: Float32, number: float) -> int:
    """The id at which the running sum of weights [vocab_size] first exceeds `number` in [0, 1) of the total.

    Inversion of the distribution function (Devroye 1986, "Non-uniform random variate generation", II.2). The sums
    are of integers and exact, in the order of ids; an id of weight zero is never drawn.
    """
    running = np.cumsum(units(weights))
    return int(np.searchsorted(running, int(running[-1]) * int(number * 2**53) >> 53, side="right"))
