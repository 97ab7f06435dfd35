"""Changes to the logits [vocab_size] that depend on the tokens so far, or on the caller's wishes for single tokens."""

from collections.abc import Mapping, Sequence

import numpy as np

from glassformer.generation.network import Float32


def repetition_penalty(logits: Float32, ids: Sequence[int], penalty: float) -> Float32:
    """Divide the positive logits of tokens in `ids` by `penalty` > 0, multiply the negative ones.

    Source: Keskar et al. 2019, "CTRL", arXiv:1909.05858, section 4.1, with the treatment of negative logits that
    Hugging Face transformers gave it. `ids` are the prompt and what was generated.
    """
    seen = np.unique(np.asarray(ids, dtype=np.int64))
    changed = logits.copy()
    values = logits[seen].astype(np.float64)
    with np.errstate(over="ignore"):
        changed[seen] = np.where(values < 0, values * float(penalty), values / float(penalty))
    return changed


def presence_and_frequency_penalty(
    logits: Float32, generated: Sequence[int], presence: float, frequency: float
) -> Float32:
    """Subtract `presence` once and `frequency` times its count from each token in `generated`.

    Source: the OpenAI API reference: mu[j] - c[j] * frequency - (c[j] > 0) * presence, where c counts how often token j
    was sampled so far; the prompt does not count.
    """
    seen, counts = np.unique(np.asarray(generated, dtype=np.int64), return_counts=True)
    changed = logits.copy()
    changed[seen] -= (presence + frequency * counts.astype(np.float64)).astype(np.float32)
    return changed


def logit_bias(logits: Float32, bias: Mapping[int, float]) -> Float32:
    """Add a number to the logits of single tokens (OpenAI API: -100 all but forbids a token, 100 all but forces it)."""
    changed = logits.copy()
    with np.errstate(over="ignore"):
        for token, value in bias.items():
            changed[token] = np.float64(changed[token]) + float(value)
    return changed


def bad_words(logits: Float32, ids: Sequence[int], sequences: Sequence[Sequence[int]]) -> Float32:
    """Forbid the last token of each sequence wherever `ids` (prompt and generated) ends in the tokens before it.

    The meaning of `bad_words_ids` in Hugging Face transformers: no sequence ever appears whole in the continuation.
    """
    changed = logits.copy()
    for sequence in sequences:
        prefix = list(sequence[:-1])
        if not prefix or list(ids[-len(prefix) :]) == prefix:
            changed[sequence[-1]] = -np.inf
    return changed
