"""How well a model predicts a text, and how far its predictions are from another's: perplexity and KL divergence.

A text longer than the context window is read in windows of `context` tokens, each `stride` tokens after the one before.
Every token but the first is scored once, in the first window that holds it: so each has at least `context - stride`
tokens before it, except in the first window. Documents are read each on its own.

Source of the perplexity over strided windows: Hugging Face transformers, "Perplexity of fixed-length models".
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.generation.errors import GenerationError
from glassformer.generation.network import Float32, Network
from glassformer.generation.sampling import check_logits
from glassformer.generation.score import perplexity

CHUNK = 64  # rows of logits held at once, of each model
BLOCK = 8  # rows whose probabilities are held in float64 at once

Float64 = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Told how many tokens have been scored so far, and how many there are."""


class EvaluationError(GenerationError):
    """A text that cannot be evaluated, or models that cannot be compared."""


@dataclass(frozen=True)
class Estimate:
    """A mean over tokens with its standard error, which takes tokens as independent."""

    value: float
    error: float


@dataclass(frozen=True)
class Divergence:
    """A token before which two models disagree.

    Attributes:
        document: index of the document.
        place: index of the token in its document.
        id: the token.
        kl: KL divergence of the two predictions of it, in nats.
        top: the model's most probable token there.
        against_top: the other's.
    """

    document: int
    place: int
    id: int
    kl: float
    top: int
    against_top: int


@dataclass(frozen=True)
class Comparison:
    """A model's predictions beside those of another, which is taken as the truth.

    Attributes:
        perplexity: the other's.
        kl: KL(other || model) = sum over tokens v of p_other(v) * log(p_other(v) / p_model(v)), in nats per token.
        same_top: share of tokens where both find the same token most probable.
        worst: where they are furthest apart, the furthest first.
    """

    perplexity: Estimate
    kl: Estimate
    same_top: Estimate
    worst: tuple[Divergence, ...]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        documents: all tokens, document by document.
        tokens: how many were scored: all but the first of each document.
        context, stride: the windows, in tokens.
        log_likelihood: mean natural-logarithm probability of a token; -log(perplexity).
        perplexity: exp of the mean negative log-probability; its error by the delta method.
        comparison: None without another model.
    """

    documents: list[list[int]]
    tokens: int
    context: int
    stride: int
    log_likelihood: Estimate
    perplexity: Estimate
    comparison: Comparison | None


@dataclass(frozen=True)
class Window:
    """Tokens [begin, end) of a document that are read together, of which those from `first` on are scored."""

    begin: int
    end: int
    first: int


def windows(tokens: int, context: int, stride: int) -> Iterator[Window]:
    """The windows of a document."""
    if tokens < 2:
        return
    done = 1  # nothing comes before the first token
    for begin in range(0, tokens, stride):
        end = min(begin + context, tokens)
        yield Window(begin, end, done)
        done = end
        if end == tokens:
            return


def evaluate(
    network: Network[Any],
    documents: Sequence[Sequence[int]],
    *,
    against: Network[Any] | None = None,
    context: int | None = None,
    stride: int | None = None,
    worst: int = 10,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a network on documents of token ids; those of fewer than two tokens have nothing to score.

    Args:
        against: another network over the same vocabulary.
        context: tokens of a window; None: as many as the model (and the other) can read.
        stride: tokens from one window to the next; None: half the context.
        worst: how many tokens with the greatest divergence are listed.
        progress: told how many tokens have been scored, and how many there are.

    Raises:
        EvaluationError: nothing to score, windows out of range, or vocabularies that differ.
        LogitsError: if a network computes NaN.
    """
    networks = [network] if against is None else [network, against]
    context, stride = checked_windows(networks, context, stride)
    tokens = sum(max(0, len(ids) - 1) for ids in documents)
    if tokens == 0:
        raise EvaluationError(
            "nothing to evaluate: a text needs at least 2 tokens, for one is scored by those before it"
        )
    found = Tally(max(0, worst))
    for document, ids in enumerate(documents):
        for window in windows(len(ids), context, stride):
            for place, rows in scored_rows(networks, ids, window):
                found.add(ids, document, place, rows)
                if progress is not None:
                    progress(len(found.logprobs[0]), tokens)
    likelihood = estimate(found.logprobs[0])
    comparison = None if against is None else found.comparison()
    read = [list(ids) for ids in documents]
    return Evaluation(read, tokens, context, stride, likelihood, as_perplexity(likelihood), comparison)


def checked_windows(networks: Sequence[Network[Any]], context: int | None, stride: int | None) -> tuple[int, int]:
    """Context and stride, defaults filled in."""
    vocabularies = [network.config.vocab_size for network in networks]
    if len(set(vocabularies)) > 1:
        raise EvaluationError(
            f"the models have vocabularies of {vocabularies[0]} and {vocabularies[1]} tokens; compare models of one"
        )
    limit = min(network.config.n_positions for network in networks)
    context = limit if context is None else context
    if not 2 <= context <= limit:
        raise EvaluationError(f"context is {context}, expected 2 to {limit}, the positions of the model")
    stride = max(1, context // 2) if stride is None else stride
    # A token that begins a window would have nothing before it.
    if not 1 <= stride < context:
        raise EvaluationError(f"stride is {stride}, expected 1 to {context - 1}, less than the context")
    return context, stride


def scored_rows(
    networks: Sequence[Network[Any]], ids: Sequence[int], window: Window
) -> Iterator[tuple[int, list[Float32]]]:
    """(place of the first token that they predict, logits [rows, vocab_size] of each network), chunk by chunk."""
    tokens = np.asarray(ids[window.begin : window.end], np.int32)
    caches = [network.new_cache(len(tokens) - 1) for network in networks]
    for cache in caches:
        cache.prompt_length = len(tokens)
    unscored = window.first - 1 - window.begin  # read only for what comes after
    if unscored:
        for network, cache in zip(networks, caches, strict=True):
            network.forward(tokens[:unscored], cache)
    for start in range(unscored, len(tokens) - 1, CHUNK):
        read = tokens[start : min(start + CHUNK, len(tokens) - 1)]
        pairs = zip(networks, caches, strict=True)
        # Copied: a network may write its next logits where these are.
        yield window.begin + start + 1, [np.array(net.forward(read, cache, last_only=False)) for net, cache in pairs]


@dataclass
class Tally:
    """Numbers of the tokens scored so far: log-probabilities by network, divergences, agreements."""

    kept: int
    logprobs: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    kls: list[float] = field(default_factory=list)
    same: list[float] = field(default_factory=list)
    worst: list[tuple[float, int, int, Divergence]] = field(default_factory=list)  # a heap, the least divergence on top

    def add(self, ids: Sequence[int], document: int, place: int, logits: Sequence[Float32]) -> None:
        """Take in predictions of a document's tokens from `place` on."""
        for at in range(0, len(logits[0]), BLOCK):
            rows = [each[at : at + BLOCK] for each in logits]
            targets = np.asarray(ids[place + at : place + at + len(rows[0])])
            for each in rows:
                for offset, row in enumerate(each):
                    check_logits(row, place + at + offset)
            logs = [log_probabilities(each) for each in rows]  # [rows, vocab_size] each
            for own, log in zip(self.logprobs, logs, strict=False):
                own += log[np.arange(len(targets)), targets].tolist()
            if len(logs) == 2:
                self.compare(targets, document, place + at, *logs)

    def compare(self, targets: npt.NDArray[Any], document: int, place: int, model: Float64, against: Float64) -> None:
        """Take in two networks' log-probabilities [rows, vocab_size] of the same tokens."""
        p = np.exp(against)
        # Where the truth gives no probability, it asks for none: 0 * log(0 / q) is 0.
        terms = np.multiply(p, against - model, out=np.zeros_like(p), where=p > 0)
        kls = terms.sum(-1)
        tops = np.argmax(model, -1), np.argmax(against, -1)
        self.kls += kls.tolist()
        self.same += (tops[0] == tops[1]).astype(float).tolist()
        for row, kl in enumerate(kls.tolist()):
            at = place + row
            item = (
                kl,
                -document,
                -at,
                Divergence(document, at, int(targets[row]), kl, int(tops[0][row]), int(tops[1][row])),
            )
            heapq.heappush(self.worst, item)
            if len(self.worst) > self.kept:
                heapq.heappop(self.worst)

    def comparison(self) -> Comparison:
        """The numbers of all tokens."""
        worst = tuple(item for *_, item in sorted(self.worst, reverse=True))
        against = as_perplexity(estimate(self.logprobs[1]))
        return Comparison(against, estimate(self.kls), estimate(self.same), worst)


def log_probabilities(logits: Float32) -> Float64:
    """log_softmax in float64: divergences of 1e-7 nats would drown in the rounding of float32."""
    x = logits.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    x -= np.log(np.exp(x).sum(-1, keepdims=True))
    return x


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and standard error, which is NaN for a single value."""
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1 or not math.isfinite(mean):
        return Estimate(mean, math.nan)
    return Estimate(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count))


def as_perplexity(log_likelihood: Estimate) -> Estimate:
    """exp(-mean), and its standard error."""
    value = perplexity(log_likelihood.value, 1)
    return Estimate(value, value * log_likelihood.error)
