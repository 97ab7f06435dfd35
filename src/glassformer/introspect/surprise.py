"""How much each token of a text surprises a model.

The surprise (surprisal) of a token is -log2 of its probability given the tokens before it (Shannon, 1948, "A
Mathematical Theory of Communication"); people read slower where it is high (Hale, 2001, "A Probabilistic Earley Parser
as a Psycholinguistic Model"). Entropy is the surprise that was to be expected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.sampling import check_logits
from glassformer.introspect.html import coloured_tokens
from glassformer.introspect.networks import network_of
from glassformer.introspect.results import Result
from glassformer.introspect.tokens import text_ids, token_texts
from glassformer.runtime.engine import Ops
from glassformer.runtime.sampling import Sampler

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

ROWS = 64  # of logits that are worked on at a time


@dataclass(frozen=True, eq=False)
class Surprise(Result):
    """What a model expected at each token of a text, given the tokens before it.

    Nothing comes before the first token: its numbers are NaN, its ranks and ids -1.

    Attributes:
        ids, tokens: the text, [tokens].
        logprobs: natural logarithm of each token's probability, [tokens].
        bits: its surprise, -log2 of the probability, [tokens].
        ranks: how many tokens were more probable, [tokens].
        entropy: the surprise to be expected, in bits, [tokens].
        top_ids, top_tokens, top_logprobs: the most probable tokens instead, best first, [tokens, top].
    """

    ids: list[int]
    tokens: list[str]
    logprobs: Float32
    bits: Float32
    ranks: Int64
    entropy: Float32
    top_ids: Int64
    top_tokens: list[list[str]]
    top_logprobs: Float32

    def _repr_html_(self) -> str:
        """The text, coloured by surprise; what was expected instead where the pointer rests."""
        titles = [
            f"{token!r}: {bits:.2f} bits, rank {rank}; expected {', '.join(map(repr, instead))}"
            if rank >= 0
            else repr(token)
            for token, bits, rank, instead in zip(self.tokens, self.bits, self.ranks, self.top_tokens, strict=True)
        ]
        return coloured_tokens(self.tokens, self.bits.tolist(), label="surprise in bits", titles=titles)


def surprise(model: TextModel, prompt: Any, *, top: int = 5) -> Surprise:
    """The surprise of each token of a text (or ids), with the `top` most probable tokens at each place.

    Raises:
        PromptError, ContextError: as `TextModel.logits`.
        LogitsError: if the network computes NaN.
    """
    ids = text_ids(model, prompt)
    return surprise_from(model, ids, _logits(model, ids), top)


def surprise_from_logits(model: TextModel, prompt: Any, logits: Float32, *, top: int = 5) -> Surprise:
    """The same from logits [tokens, vocab_size] that a run has computed already."""
    return surprise_from(model, text_ids(model, prompt), [logits[:-1]], top)


def _logits(model: TextModel, ids: list[int]) -> Iterator[Float32]:
    """Logits [rows, vocab_size] after all tokens but the last, in pieces."""
    cache = model.network.new_cache(len(ids))
    cache.prompt_length = len(ids)
    for first in range(0, len(ids) - 1, ROWS):
        piece = np.array(ids[first : min(first + ROWS, len(ids) - 1)], np.int32)
        yield model.network.forward(piece, cache, last_only=False)


def surprise_from(model: TextModel, ids: list[int], pieces: Iterable[Float32], top: int) -> Surprise:
    """The surprise of tokens by the logits before them, [rows, vocab_size] at a time."""
    count, top = len(ids), max(0, min(top, model.config.vocab_size))
    ops, sampler = network_of(model).ops, Sampler(model.config.vocab_size)
    logprobs, entropy = np.full((2, count), np.nan, np.float32)  # [tokens] each
    ranks, best = np.full(count, -1, np.int64), np.full((count, top), -1, np.int64)
    best_logprobs = np.full((count, top), np.nan, np.float32)  # [tokens, top]
    place = 0
    for logits in pieces:
        for first in range(0, len(logits), ROWS):
            part = logits[first : first + ROWS]  # [rows, vocab_size]
            entropy[place + 1 : place + 1 + len(part)] = entropies(ops, part)
            for scores in part:
                place += 1
                check_logits(scores, place)
                leaders = sampler.leading(scores, top)
                own, *others = sampler.log_probabilities(scores, [ids[place], *leaders])
                logprobs[place], ranks[place] = own, np.count_nonzero(scores > scores[ids[place]])
                best[place, : len(leaders)], best_logprobs[place, : len(leaders)] = leaders, others
    texts = [token_texts(model, (i for i in found if i >= 0)) for found in best.tolist()]
    bits = logprobs / -np.log(np.float32(2.0))  # [tokens]
    return Surprise(ids, token_texts(model, ids), logprobs, bits, ranks, entropy, best, texts, best_logprobs)


def entropies(ops: Ops, logits: Float32) -> Float32:
    """Entropy in bits of the distribution of each row.  [rows, vocab_size] -> [rows]."""
    logprobs = ops.log_softmax(logits)  # [rows, vocab_size]
    weighted = ops.exp(logprobs) * np.maximum(logprobs, np.finfo(np.float32).min)  # 0 * -inf would be NaN
    return -weighted.sum(-1, dtype=np.float64).astype(np.float32) / np.log(np.float32(2.0))  # type: ignore[no-any-return]
