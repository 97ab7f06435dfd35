"""How probable a model finds a text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassformer.generation.errors import PromptError
from glassformer.generation.logprobs import TokenLogprob, token_logprob
from glassformer.generation.network import Network
from glassformer.generation.sampling import check_logits
from glassformer.generation.stopping import check_fits
from glassformer.runtime.sampling import Sampler

CHUNK = 128  # rows of logits held at once: a full context of GPT-2's vocabulary would be 200 MB


@dataclass(frozen=True)
class Score:
    """Natural-logarithm probabilities of a text's tokens, each given the tokens before it.

    Attributes:
        ids: all tokens of the text.
        logprobs: one number for each token but the first, which has nothing before it: that of ids[i + 1] is at i.
        total: their sum, the log-probability of the text given its first token.
        perplexity: exp(-total / number of logprobs).
    """

    ids: list[int]
    logprobs: list[float]
    total: float
    perplexity: float


def score(network: Network[Any], ids: Sequence[int]) -> Score:
    """Score `ids` [tokens], at least two of them.

    Raises:
        PromptError: if there are fewer than two.
        ContextError: if they exceed the context window.
        LogitsError: if the network computes NaN.
    """
    if len(ids) < 2:
        raise PromptError(f"a score needs at least 2 tokens and got {len(ids)}: a token is scored by those before it")
    check_fits(len(ids), network.config.n_positions, "the text")
    logprobs = [found.logprob for found in token_logprobs(network, ids)]
    total = math.fsum(logprobs)
    return Score(list(ids), logprobs, total, perplexity(total, len(logprobs)))


def perplexity(total: float, count: int) -> float:
    """exp(-total / count); infinity where that is beyond a float."""
    try:
        return math.exp(-total / count)
    except OverflowError:
        return math.inf


def token_logprobs(network: Network[Any], ids: Sequence[int], top: int = 0) -> list[TokenLogprob]:
    """For each of `ids` [tokens] but the first: its log-probability, and those of the `top` most probable ids."""
    found: list[TokenLogprob] = []
    sampler = Sampler(network.config.vocab_size)
    cache = network.new_cache(len(ids) - 1)
    cache.prompt_length = len(ids)
    for start in range(0, len(ids) - 1, CHUNK):
        read = np.asarray(ids[start : min(start + CHUNK, len(ids) - 1)], dtype=np.int32)
        logits = network.forward(read, cache, last_only=False)  # [read, vocab_size]
        for row, place in zip(logits, range(start + 1, start + 1 + len(read)), strict=True):
            check_logits(row, place)
            found.append(token_logprob(row, ids[place], top, sampler))
    return found
