"""Filters of the next-token distribution: each takes logits [vocab_size] and returns logits [vocab_size].

A removed token gets minus infinity, which softmax turns into probability zero; the rest keep their logits, so that
filters compose in any order. Candidates are ranked by descending value, equal values by ascending id, so that a
result never depends on a sorting algorithm.
"""

import numpy as np
import numpy.typing as npt

from glassformer.generation.network import Float32
from glassformer.runtime import ops

Bools = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


def leading(keys: Float32 | Float64, count: int) -> Ids:
    """Ids of the `count` smallest keys [n], and of all equal to the last of them, by ascending key and then id."""
    within = np.arange(keys.size)
    if count < keys.size:
        within = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1])
    return within[np.argsort(keys[within], kind="stable")]


def fewest(keys: Float32 | Float64, weights: Float32, mass: float) -> Ids:
    """The first ids by ascending key and then id whose `weights` sum to at least `mass`: at least one.

    Ids of weight zero are passed over; if all the others do not reach `mass`, they are all returned.
    """
    possible = np.flatnonzero(weights > 0)
    keys, weights = keys[possible], weights[possible]
    count = 128  # most often enough; sorting a whole vocabulary takes as long as a small model's step
    while True:
        ids = leading(keys, count)
        reached = np.cumsum(weights[ids], dtype=np.float64)
        if reached[-1] >= mass or ids.size == keys.size:
            return possible[ids[: int(np.searchsorted(reached, mass, side="left")) + 1]]
        count *= 8


def keep(logits: Float32, kept: Bools) -> Float32:
    """Minus infinity wherever `kept` [vocab_size] is false."""
    return np.where(kept, logits, np.float32(-np.inf))


def kept_ids(vocab_size: int, ids: Ids) -> Bools:
    """A mask [vocab_size] that is true at `ids`."""
    mask = np.zeros(vocab_size, dtype=np.bool_)
    mask[ids] = True
    return mask


def temperature(logits: Float32, value: float) -> Float32:
    """Divide by the temperature `value` > 0 (Ackley, Hinton and Sejnowski 1985): below 1 sharpens, above 1 flattens.

    The greatest logit is moved to zero first, which changes no probability and keeps small temperatures from overflow.
    """
    shifted = logits.astype(np.float64) - float(logits.max())
    with np.errstate(over="ignore", under="ignore"):
        return (shifted / value).astype(np.float32)


def top_k(logits: Float32, k: int) -> Float32:
    """Keep the `k` most probable tokens, k >= 1 (Fan, Lewis and Dauphin 2018, arXiv:1805.04833)."""
    if k >= logits.size:
        return logits
    return keep(logits, kept_ids(logits.size, leading(-logits, k)[:k]))


def top_p(logits: Float32, p: float) -> Float32:
    """Keep the nucleus: the fewest most probable tokens whose probabilities sum to at least `p`, and at least one.

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration", arXiv:1904.09751.
    """
    if p >= 1.0:
        return logits
    probabilities = ops.softmax(logits)
    return keep(logits, kept_ids(logits.size, fewest(-probabilities, probabilities, p)))


def min_p(logits: Float32, fraction: float) -> Float32:
    """Keep tokens that are at least `fraction` times as probable as the most probable one.

    Source: Nguyen et al. 2024, "Turning up the heat: min-p sampling", arXiv:2407.01082.
    """
    probabilities = ops.softmax(logits)
    return keep(logits, probabilities >= np.float64(fraction) * np.float64(probabilities.max()))


def typical(logits: Float32, mass: float) -> Float32:
    """Keep the fewest tokens of probability `mass` whose surprisal is nearest to the distribution's entropy.

    Source: Meister, Pimentel, Wiher and Cotterell 2022, "Locally typical sampling", arXiv:2202.00666. Tokens as near to
    the entropy as the last one kept stay too.
    """
    if mass >= 1.0:
        return logits
    surprisal = -ops.log_softmax(logits).astype(np.float64)
    probabilities = ops.softmax(logits)
    terms = np.multiply(probabilities, surprisal, out=np.zeros_like(surprisal), where=probabilities > 0)
    entropy = np.cumsum(terms)[-1]  # cumsum adds in order; sum's order is the machine's choice
    distance = np.abs(surprisal - entropy)
    return keep(logits, distance <= distance[fewest(distance, probabilities, mass)[-1]])
