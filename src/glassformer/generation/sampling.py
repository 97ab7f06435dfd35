"""From logits to one token: penalties, filters and the draw, in the order that Hugging Face transformers keeps."""

from collections.abc import Sequence

import numpy as np

from glassformer.generation import filters, penalties
from glassformer.generation.errors import LogitsError
from glassformer.generation.network import Float32
from glassformer.generation.options import SamplingOptions
from glassformer.generation.rng import uniform
from glassformer.runtime import ops


def check_logits(logits: Float32, position: int) -> None:
    """Refuse logits [vocab_size] with NaN or plus infinity, and logits that are minus infinity throughout.

    Args:
        position: place of the token to be chosen, for the message.

    Raises:
        LogitsError: rather than let an arbitrary token be drawn.
    """
    if np.isfinite(logits.max()):  # NaN and plus infinity both come through max
        return
    nan, infinite = int(np.isnan(logits).sum()), int(np.isposinf(logits).sum())
    found = f"{nan} NaN and {infinite} infinite values" if nan + infinite else "no finite value"
    raise LogitsError(
        f"the logits for position {position} hold {found} among {logits.size}, so no token can be chosen; "
        "the weights are damaged or a computation overflowed: check the model's file, or load it with dtype='f32'"
    )


def penalized(logits: Float32, prompt: Sequence[int], generated: Sequence[int], options: SamplingOptions) -> Float32:
    """Logits [vocab_size] after bias, penalties and bad words: what greedy choice and the filters start from."""
    changed = logits
    if options.logit_bias:
        changed = penalties.logit_bias(changed, options.logit_bias)
    if options.repetition_penalty != 1.0:
        changed = penalties.repetition_penalty(changed, [*prompt, *generated], options.repetition_penalty)
    if options.presence_penalty != 0.0 or options.frequency_penalty != 0.0:
        presence, frequency = options.presence_penalty, options.frequency_penalty
        changed = penalties.presence_and_frequency_penalty(changed, generated, presence, frequency)
    if options.bad_words:
        changed = penalties.bad_words(changed, [*prompt, *generated], options.bad_words)
    if changed is not logits and not np.isfinite(changed.max()):
        raise LogitsError(
            "bad_words, logit_bias or a penalty leaves no token to choose from: every logit is infinite; "
            "forbid fewer tokens or give smaller numbers"
        )
    return changed


def filtered(logits: Float32, options: SamplingOptions) -> Float32:
    """Logits [vocab_size] after temperature and the filters, minus infinity for what is not to be drawn."""
    changed = logits if options.temperature == 1.0 else filters.temperature(logits, options.temperature)
    if options.top_k > 0:
        changed = filters.top_k(changed, options.top_k)
    if options.top_p < 1.0:
        changed = filters.top_p(changed, options.top_p)
    if options.min_p > 0.0:
        changed = filters.min_p(changed, options.min_p)
    if options.typical_p < 1.0:
        changed = filters.typical(changed, options.typical_p)
    return changed


def draw(probabilities: Float32, number: float) -> int:
    """The id at which the running sum of `probabilities` [vocab_size] first exceeds `number` in [0, 1) of the total.

    Inversion of the distribution function (Devroye 1986, "Non-uniform random variate generation", II.2). The sum runs
    in float64 in the order of ids, so it is the same everywhere; an id of probability zero is never drawn.
    """
    mass = np.cumsum(probabilities, dtype=np.float64)
    return int(np.searchsorted(mass, number * mass[-1], side="right"))


def choose(logits: Float32, prompt: Sequence[int], generated: Sequence[int], options: SamplingOptions) -> int:
    """The next token's id.

    Args:
        logits: [vocab_size], float32, of the model.
        prompt: ids of the prompt.
        generated: ids chosen so far; their number selects the random number, so equal seeds give equal tokens.
        options: how to choose.

    Raises:
        LogitsError: if the logits allow no choice.
    """
    check_logits(logits, len(prompt) + len(generated))
    allowed = penalized(logits, prompt, generated, options)
    if options.greedy:
        return int(np.argmax(allowed))  # the first, hence the lowest id, among equals
    return draw(ops.softmax(filtered(allowed, options)), uniform(options.seed, len(generated)))
