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
Ids = npt.NDArray[np.int64]


def descending(values: Float32, ids: Ids) -> Ids:
    """`ids` (ascending) in the order of descending `values[ids]`, ties by ascending id."""
    return ids[np.argsort(-values[ids], kind="stable")]


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
    threshold = np.partition(logits, logits.size - k)[logits.size - k]
    above = logits > threshold
    tied = np.flatnonzero(logits == threshold)[: k - int(above.sum())]
    return keep(logits, above | kept_ids(logits.size, tied))


def top_p(logits: Float32, p: float) -> Float32:
    """Keep the nucleus: the fewest most probable tokens whose probabilities sum to at least `p`, and at least one.

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration", arXiv:1904.09751.
    """
    if p >= 1.0:
        return logits
    probabilities = ops.softmax(logits)
    # Tokens this rare hold less than 1 - p together, so the nucleus lies in the rest: no need to sort them all.
    order = descending(probabilities, np.flatnonzero(probabilities >= (1.0 - p) / (2 * logits.size)))
    mass = np.cumsum(probabilities[order], dtype=np.float64)
    if mass[-1] < p:  # only where rounding leaves no room between p and 1
        order = descending(probabilities, np.arange(logits.size))
        mass = np.cumsum(probabilities[order], dtype=np.float64)
    count = int(np.searchsorted(mass, p, side="left")) + 1
    return keep(logits, kept_ids(logits.size, order[:count]))


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
    log_probabilities = ops.log_softmax(logits)
    probabilities = ops.softmax(logits)
    possible = np.flatnonzero(probabilities > 0)
    surprisal = -log_probabilities[possible].astype(np.float64)
    weights = probabilities[possible].astype(np.float64)
    entropy = np.cumsum(weights * surprisal)[-1]  # cumsum adds in order; sum's order is the machine's choice
    distance = np.abs(surprisal - entropy)
    order = np.argsort(distance, kind="stable")
    reached = int(np.searchsorted(np.cumsum(weights[order]), mass, side="left"))
    threshold = distance[order[min(reached, order.size - 1)]]
    return keep(logits, kept_ids(logits.size, possible[distance <= threshold]))
