"""From logits to one token: penalties, filters and the draw, in the order that Hugging Face transformers keeps."""

from collections.abc import Sequence

import numpy as np

from glassformer.generation import penalties
from glassformer.generation.errors import LogitsError
from glassformer.generation.network import Float32
from glassformer.generation.options import SamplingOptions
from glassformer.generation.rng import uniform
from glassformer.runtime.desk import Cut, Wish
from glassformer.runtime.sampling import Sampler


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
    """Logits [vocab_size] after bias, penalties and bad words: what greedy choice and the filters start from.

    The logits themselves where nothing of the kind is asked.
    """
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
    return changed


def cut(options: SamplingOptions) -> Cut:
    """The temperature and the filters."""
    return Cut(options.temperature, options.top_k, options.top_p, options.min_p, options.typical_p)


def plain(options: SamplingOptions) -> bool:
    """Whether tokens are chosen among the model's own logits, without bias, penalties and bad words."""
    return not (options.logit_bias or options.bad_words) and (
        options.repetition_penalty == 1.0 and options.presence_penalty == options.frequency_penalty == 0.0
    )


def ask(sampler: Sampler, options: SamplingOptions, place: int, count: int, mask: Float32 | None = None) -> None:
    """Ask for the tokens from a place of the continuation on, which decides the random numbers."""
    if options.greedy:
        sampler.ask(None, (), mask)
    else:
        sampler.ask(cut(options), [uniform(options.seed, place + i) for i in range(count)], mask)


def wish(options: SamplingOptions, place: int, mask: Float32 | None = None) -> Wish:
    """How the token at a place of the continuation is to be chosen."""
    return Wish(None, 0.0, mask) if options.greedy else Wish(cut(options), uniform(options.seed, place), mask)


def choose(
    logits: Float32,
    prompt: Sequence[int],
    generated: Sequence[int],
    options: SamplingOptions,
    sampler: Sampler,
    mask: Float32 | None = None,
) -> tuple[int, float]:
    """The next token's id, and its log-probability under the model.

    Args:
        logits: [vocab_size], float32, of the model.
        prompt: ids of the prompt.
        generated: ids chosen so far; their number selects the random number, so equal seeds give equal tokens.
        options: how to choose.
        sampler: for this vocabulary.
        mask: [vocab_size], added to the logits: 0 for what a constraint allows, minus infinity for the rest; None: all.

    Raises:
        LogitsError: if the logits allow no choice.
    """
    allowed = None if plain(options) else penalized(logits, prompt, generated, options)
    if allowed is not None:
        check_logits(logits, len(prompt) + len(generated))  # a penalty may hide what is wrong with them
    found = sampler.choose(logits, wish(options, len(generated), mask), allowed)
    if found is None:
        check_logits(logits, len(prompt) + len(generated))
        raise LogitsError(
            "bad_words, logit_bias, a penalty or a constraint leaves no token to choose from: every logit is infinite; "
            "forbid fewer tokens or give smaller numbers"
        )
    return found
