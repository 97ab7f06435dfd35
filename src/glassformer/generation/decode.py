"""The decode loops: read the prompt once, then go on pass by pass until something ends it; one text, or many."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from glassformer.generation.continuation import Continuation, Step
from glassformer.generation.network import Decoder, Float32, Network, decoder_of, sampler_of
from glassformer.runtime.sampling import MOST, Sampler

PATIENCE = 0.012  # seconds that tokens may wait for those behind them, too short to be seen


def steps(network: Network[Any], text: Continuation) -> Iterator[Step]:
    """Continue one text, a step per token; the last step names the finish reason.

    A pass reads the token chosen last and guesses of those after it, if there are any. While the chosen token is the
    guessed one, the logits for the next token are there already.

    Raises:
        LogitsError: from a step whose logits allow no choice.
    """
    sampler, cache = sampler_of(network), network.new_cache(text.capacity)
    cache.prompt_length = len(text.prompt)
    stride, decoder = Stride(), decoder_of(network)
    while text.reason is None:
        start = time.perf_counter()
        draft = text.draft()
        if decoder is not None and not draft and text.generated and text.simple:
            yield from run_on(decoder, text, cache, sampler, stride)
            continue
        logits = network.forward(text.unread(draft), cache, last_only=not draft)  # [1 + guesses, vocab_size]
        text.passed(1 + len(draft), time.perf_counter() - start)
        yield from take_guessed(text, logits, draft, sampler, start)
        if draft:
            cache.truncate(len(text.prompt) + len(text.generated) - 1)
            stride.begin()


Chosen = tuple[int, float]  # a token and its log-probability


def choose_simply(texts: Sequence[Continuation], logits: Float32, sampler: Sampler) -> list[Chosen | None]:
    """The next tokens of texts, chosen side by side from logits [texts, vocab_size].

    None for a text whose token is not simply chosen, and where its logits allow no choice.
    """
    simple = [place for place, text in enumerate(texts) if text.simple]
    if len(simple) < 2:
        return [None] * len(texts)
    rows = logits if len(simple) == len(texts) else logits[simple]  # [simple, vocab_size]
    found = dict(zip(simple, sampler.choose_all(rows, [texts[place].wish for place in simple]), strict=True))
    return [found.get(place) for place in range(len(texts))]


def take_guessed(
    text: Continuation, logits: Float32, draft: Sequence[int], sampler: Sampler, start: float,
    chosen: Chosen | None = None,
) -> Iterator[Step]:  # fmt: skip
    """Choose a token from the first of logits [1 + guesses, vocab_size], and from the next while a guess is right.

    start: when the work for the first one began, by `time.perf_counter`. chosen: the first one, if it is known.
    """
    if chosen is None:
        step = text.take(logits[0], sampler, start, drafted=len(draft))
    else:
        step = text.take_chosen(*chosen, time.perf_counter() - start)
    yield step
    for guess, row in zip(draft, logits[1:], strict=True):
        if text.reason is not None or guess != step.token.id:
            return
        step = text.take(row, sampler, time.perf_counter(), guessed=True)
        yield step


class Stride:
    """How many tokens are decoded in one go: few where the text may repeat itself, and never so many that one waits."""

    def __init__(self) -> None:
        self.count = 1

    def begin(self) -> None:
        """Go on token by token, because the text may repeat itself."""
        self.count = 1

    def passed(self, count: int, seconds: float) -> None:
        """So many tokens took so long."""
        self.count = max(1, min(2 * count, MOST, int(PATIENCE / max(seconds / count, 1e-9))))


def run_on(network: Decoder[Any], text: Continuation, cache: Any, sampler: Sampler, stride: Stride) -> Iterator[Step]:
    """Continue a text by some tokens that are chosen and read without coming back to Python.

    Tokens behind the end of the text are forgotten. Where logits allow no choice, the cache is left where the token by
    token way comes upon them.
    """
    start, known = time.perf_counter(), len(text.prompt) + len(text.generated) - 1
    count = 1 if text.constrained else min(stride.count, text.left)
    text.ask(sampler, count)
    network.decode(text.generated[-1], cache, sampler, count)
    seconds = time.perf_counter() - start
    stride.passed(count, seconds)
    text.passed(1, seconds / count)
    for place, found in enumerate(sampler.found()):
        if found is None:  # pass this way again, token by token, which tells what is wrong
            cache.truncate(known + place)
            yield text.take(network.forward(text.unread(), cache)[0], sampler, start)
            return
        yield text.take_chosen(*found, seconds if place == 0 else 0.0)
        if text.reason is not None:
            return
    if text.repeating:
        stride.begin()


def decode_greedily(network: Decoder[Any], token: int, cache: Any, sampler: Sampler, count: int) -> None:
    """Read a token and go on with the most probable ones, `count` passes in all: what decoding costs, and no more."""
    stride = Stride()
    while count:
        start, some = time.perf_counter(), min(stride.count, count)
        sampler.ask(None, ())
        network.decode(token, cache, sampler, some)
        token, _ = sampler.found()[-1] or (0, 0.0)
        stride.passed(some, time.perf_counter() - start)
        count -= some


def batch_steps(
    network: Network[Any], texts: Sequence[Continuation], batch_size: int
) -> Iterator[list[tuple[int, Step]]]:
    """Continue many texts, at most `batch_size` in a pass; each pass gives (place among `texts`, step) for those in it.

    A text that ends leaves its cache to the next one that waits. Each text gets the tokens that it gets alone, because
    the network gives each the same logits.

    Raises:
        LogitsError: from a step whose logits allow no choice.
    """
    sampler = sampler_of(network)
    waiting = deque(enumerate(texts))
    capacity = max((text.capacity for text in texts), default=0)
    free = network.new_caches([capacity] * min(batch_size, len(texts)))
    running: list[tuple[int, Continuation, Any]] = []
    while waiting or running:
        while waiting and free:
            running.append((*waiting.popleft(), free.pop()))
            running[-1][2].prompt_length = len(running[-1][1].prompt)
        start = time.perf_counter()
        logits = network.forward_batch([(text.unread(), cache) for _, text, cache in running])  # [running, vocab_size]
        chosen = choose_simply([text for _, text, _ in running], logits, sampler)
        yield [
            (place, next(take_guessed(text, row[np.newaxis], (), sampler, start, token)))
            for (place, text, _), row, token in zip(running, logits, chosen, strict=True)
        ]
        for _, text, cache in running:
            if text.reason is not None:
                cache.truncate(0)
                free.append(cache)
        running = [each for each in running if each[1].reason is None]
