"""How probable a model finds a text."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassformer.generation.errors import PromptError
from glassformer.generation.logprobs import TokenLogprob, token_logprob
from glassformer.generation.network import Network, sampler_of
from glassformer.generation.sampling import check_logits
from glassformer.generation.stopping import check_fits

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
    return score_all(network, [ids])[0]


def score_all(network: Network[Any], texts: Sequence[Sequence[int]]) -> list[Score]:
    """The scores of several texts, read in passes that they share: each as it is alone. Errors are those of `score`."""
    for ids in texts:
        if len(ids) < 2:
            message = f"a score needs at least 2 tokens and got {len(ids)}: a token is scored by those before it"
            raise PromptError(message)
        check_fits(len(ids), network.config.n_positions, "the text")
    found: list[Score] = []
    for ids, tokens in zip(texts, token_logprobs_of(network, texts), strict=True):
        logprobs = [each.logprob for each in tokens]
        total = math.fsum(logprobs)
        found.append(Score(list(ids), logprobs, total, perplexity(total, len(logprobs))))
    return found


def perplexity(total: float, count: int) -> float:
    """exp(-total / count); infinity where that is beyond a float."""
    try:
        return math.exp(-total / count)
    except OverflowError:
        return math.inf


def token_logprobs(network: Network[Any], ids: Sequence[int], top: int = 0) -> list[TokenLogprob]:
    """For each of `ids` [tokens] but the first: its log-probability, and those of the `top` most probable ids."""
    return token_logprobs_of(network, [ids], top)[0]


def token_logprobs_of(network: Network[Any], texts: Sequence[Sequence[int]], top: int = 0) -> list[list[TokenLogprob]]:
    """The same for several texts."""
    found: list[list[TokenLogprob]] = [[] for _ in texts]
    sampler = sampler_of(network)
    caches = network.new_caches([max(1, len(ids) - 1) for ids in texts])
    for cache, ids in zip(caches, texts, strict=True):
        cache.prompt_length = len(ids)
    for pieces in passes([len(ids) - 1 for ids in texts]):
        parts = [(np.asarray(texts[each.text][each.start : each.end], np.int32), caches[each.text]) for each in pieces]
        logits = iter(network.forward_batch(parts, last_only=False))  # [rows, vocab_size]
        for each in pieces:
            for place in range(each.start + 1, each.end + 1):
                row = next(logits)  # [vocab_size]
                check_logits(row, place)
                found[each.text].append(token_logprob(row, texts[each.text][place], top, sampler))
    return found


@dataclass(frozen=True)
class Piece:
    """Tokens [start, end) of a text."""

    text: int
    start: int
    end: int


def passes(lengths: Sequence[int]) -> Iterator[list[Piece]]:
    """Texts of these lengths, one behind the other, cut into passes of `CHUNK` tokens."""
    pieces: list[Piece] = []
    room = CHUNK
    for text, length in enumerate(lengths):
        start = 0
        while start < length:
            end = min(length, start + room)
            pieces.append(Piece(text, start, end))
            room -= end - start
            start = end
            if room == 0:
                yield pieces
                pieces, room = [], CHUNK
    if pieces:
        yield pieces
