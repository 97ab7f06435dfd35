"""The decode loops: read the prompt once, then go on pass by pass until something ends it; one text, or many."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from glassformer.generation.continuation import Continuation, Step
from glassformer.generation.network import Network
from glassformer.runtime.sampling import Sampler


def steps(network: Network[Any], text: Continuation) -> Iterator[Step]:
    """Continue one text, a step per token; the last step names the finish reason.

    A pass reads the token chosen last and guesses of those after it, if there are any. While the chosen token is the
    guessed one, the logits for the next token are there already.

    Raises:
        LogitsError: from a step whose logits allow no choice.
    """
    sampler, cache = Sampler(network.config.vocab_size), network.new_cache(text.capacity)
    cache.prompt_length = len(text.prompt)
    while text.reason is None:
        start = time.perf_counter()
        draft = text.draft()
        logits = network.forward(text.unread(draft), cache, last_only=not draft)  # [1 + guesses, vocab_size]
        text.passed(1 + len(draft), time.perf_counter() - start)
        step = text.take(logits[0], sampler, start, drafted=len(draft))
        yield step
        for guess, row in zip(draft, logits[1:], strict=True):
            if text.reason is not None or guess != step.token.id:
                break
            step = text.take(row, sampler, time.perf_counter(), guessed=True)
            yield step
        if draft:
            cache.truncate(len(text.prompt) + len(text.generated) - 1)


def batch_steps(
    network: Network[Any], texts: Sequence[Continuation], batch_size: int
) -> Iterator[list[tuple[int, Step]]]:
    """Continue many texts, at most `batch_size` in a pass; each pass gives (place among `texts`, step) for those in it.

    A text that ends leaves its cache to the next one that waits. Each text gets the tokens that it gets alone, because
    the network gives each the same logits.

    Raises:
        LogitsError: from a step whose logits allow no choice.
    """
    sampler = Sampler(network.config.vocab_size)
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
        yield [(place, text.take(row, sampler, start)) for (place, text, _), row in zip(running, logits, strict=True)]
        for _, text, cache in running:
            if text.reason is not None:
                cache.truncate(0)
                free.append(cache)
        running = [each for each in running if each[1].reason is None]
