"""The decode loop: read the prompt once, then one token per step, until something ends it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glassformer.generation.errors import GenerationError
from glassformer.generation.logprobs import TokenLogprob, token_logprob
from glassformer.generation.network import Network
from glassformer.generation.options import GenerationOptions
from glassformer.generation.sampling import choose
from glassformer.generation.stopping import FinishReason, room
from glassformer.generation.text import Detokenizer, TextPieces
from glassformer.runtime.sampling import Sampler


@dataclass(frozen=True)
class Step:
    """What one pass through the network brought.

    Attributes:
        token: the chosen id with its log-probability and those of the most probable ids.
        text: text that became certain with it, often a word, possibly empty.
        finish_reason: None while there is more to come.
        seconds: time the step took, the consumer's time not counted.
    """

    token: TokenLogprob
    text: str
    finish_reason: FinishReason | None
    seconds: float = field(compare=False)


@dataclass(frozen=True)
class Timings:
    """Where the time went.

    Attributes:
        prefill: seconds for reading the prompt and choosing the first token.
        decode: seconds for all tokens after the first.
        tokens_per_second: speed of those tokens; 0 if there was one token only.
    """

    prefill: float
    decode: float
    tokens_per_second: float


@dataclass(frozen=True)
class Generation:
    """A continuation.

    Attributes:
        text: the continuation as text, without end-of-text, stop ids and stop strings; empty if the model has no
            vocabulary.
        ids: every token chosen, the one that ended the continuation included.
        finish_reason: "stop" for an end-of-text id, a stop id or a stop string; "length" for the asked number of tokens
            or the end of the context window.
        logprobs: for each of `ids`, its log-probability under the model and those of the most probable tokens.
        prompt_ids: what the model read before.
        seed: the seed that repeats this continuation; None if nothing was drawn at random.
        timings: where the time went; not part of the comparison of two generations.
    """

    text: str
    ids: list[int]
    finish_reason: FinishReason
    logprobs: list[TokenLogprob]
    prompt_ids: list[int]
    seed: int | None
    timings: Timings = field(compare=False)


def steps(
    network: Network[Any], prompt: Sequence[int], options: GenerationOptions, detokenizer: Detokenizer
) -> Iterator[Step]:
    """Continue `prompt`, a step per token; the last step names the finish reason.

    Args:
        network: the model.
        prompt: ids [tokens], at least one.
        options: how to choose and when to end.
        detokenizer: fresh, for this continuation alone.

    Raises:
        ContextError: at once, if the prompt does not fit.
        LogitsError: from a step whose logits allow no choice.
    """
    limit = room(len(prompt), network.config.n_positions, options)
    return _steps(network, list(prompt), options, TextPieces(detokenizer, options.stop), limit)


def _steps(
    network: Network[Any], prompt: list[int], options: GenerationOptions, pieces: TextPieces, limit: int
) -> Iterator[Step]:
    generated: list[int] = []
    sampler = Sampler(network.config.vocab_size)
    reason: FinishReason | None = None
    start = time.perf_counter()
    unread, cache = prompt, network.new_cache(len(prompt) + limit - 1)  # the last token chosen is never read
    while reason is None:
        logits = network.forward(np.asarray(unread, dtype=np.int32), cache)[-1]  # [vocab_size]
        token = choose(logits, prompt, generated, options.sampling, sampler)
        generated.append(token)
        text, reason = advance(token, pieces, options.stop_ids, last=len(generated) == limit)
        logprob = token_logprob(logits, token, options.logprobs, sampler)
        yield Step(logprob, text, reason, time.perf_counter() - start)
        start = time.perf_counter()
        unread = [token]


def advance(token: int, pieces: TextPieces, stop_ids: frozenset[int], *, last: bool) -> tuple[str, FinishReason | None]:
    """The text that `token` adds, and the reason to end after it, if there is one."""
    text, stopped = ("", True) if token in stop_ids else pieces.push(token)
    if not (stopped or last):
        return text, None
    rest, met = pieces.flush()
    return text + rest, "stop" if stopped or met else "length"


def gather(done: Sequence[Step], prompt: Sequence[int], seed: int | None) -> Generation:
    """The steps of a finished continuation as one result."""
    reason = done[-1].finish_reason if done else None
    if reason is None:
        raise GenerationError("the continuation has not ended yet; iterate to its end before asking for the result")
    decode = sum((step.seconds for step in done[1:]), 0.0)
    return Generation(
        text="".join(step.text for step in done),
        ids=[step.token.id for step in done],
        finish_reason=reason,
        logprobs=[step.token for step in done],
        prompt_ids=list(prompt),
        seed=seed,
        timings=Timings(done[0].seconds, decode, (len(done) - 1) / decode if decode > 0 else 0.0),
    )
