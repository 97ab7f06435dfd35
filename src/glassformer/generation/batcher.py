"""The step of an engine: schedule, run, finish. No threads here: `glassformer.generation.serving` calls it in one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import numpy as np

from glassformer.generation.continuation import Continuation, Step
from glassformer.generation.decode import Chosen, Stride, choose_simply, run_on, take_guessed
from glassformer.generation.live_stream import LiveStream
from glassformer.generation.network import Float32, Network, TokenIds, decoder_of, sampler_of
from glassformer.generation.scheduler import FEWEST, Limits, Request, Scheduler, Turn
from glassformer.generation.sequence_memory import SequenceMemory
from glassformer.generation.serving_errors import CancelledError, DeadlineError, ServingError
from glassformer.generation.serving_metrics import Counts, Rate
from glassformer.runtime.kv_cache import KVCache, Layout
from glassformer.runtime.sampling import MOST

# Guesses are read for so many texts at once: with more, a pass has enough to do. Beside another text they have to save
# passes of so many seconds: shorter ones cost little more than the rows of the guesses.
DRAFTING, WORTH = 2, 1e-3


class PagedNetwork(Network[KVCache], Protocol):
    """A network whose caches lie in pools of this layout."""

    @property
    def layout(self) -> Layout:
        """Where a position's keys and values lie."""

    def keep_plans(self, nbytes: int) -> None:
        """Let plans of so many bytes wait to be used again."""


@dataclass(eq=False)
class Live:
    """A request with its text and the stream to its reader."""

    request: Request
    text: Continuation
    stream: LiveStream
    since: float  # when the last step was taken, or the request came
    stride: Stride = field(default_factory=Stride)

    @property
    def chosen(self) -> int:
        """Tokens chosen so far."""
        return len(self.text.generated)


class Batcher:
    """The live requests of one network, step by step.

    An error ends the requests whose work it broke: where a choice fails, one; where a pass fails, those in it.
    """

    def __init__(self, network: PagedNetwork, memory: SequenceMemory, limits: Limits) -> None:
        self.network, self.memory = network, memory
        self.scheduler = Scheduler(limits, memory)
        self.counts, self.rate = Counts(), Rate(time.monotonic())
        self.sampler = sampler_of(network)
        self.decoder = decoder_of(network)
        self.live: dict[Request, Live] = {}
        self.seconds_per_token = 0.0  # of a prompt, lately
        self.quickest = inf  # seconds of a pass over several texts
        self.outbox: list[tuple[LiveStream, Step | Exception | None]] = []

    def add(self, live: Live) -> None:
        """Let a request wait for its turn. Raises what `Scheduler.add` does."""
        self.scheduler.add(live.request)
        self.live[live.request] = live

    def cancel(self, live: Live) -> None:
        """End a request that nobody wants any more; one that has ended stays as it is."""
        if live.request in self.live:
            self.counts.cancelled += 1
            self.end(live, CancelledError("the request was cancelled"))
            self.deliver()

    def refuse(self, live: Live, error: Exception) -> None:
        """End a request that could not be added."""
        self.counts.failed += 1
        self.outbox.append((live.stream, error))
        self.deliver()

    def stop(self, error: Exception) -> None:
        """End all requests."""
        for live in list(self.live.values()):
            self.fail(live, error)
        self.deliver()

    def end(self, live: Live, error: Exception | None = None) -> None:
        """Take a request out; its reader is told with the next delivery."""
        del self.live[live.request]
        self.scheduler.remove(live.request)
        self.outbox.append((live.stream, error))

    def deliver(self) -> None:
        """Hand out what has come of a pass, all at once, and wake up the readers, who run while the next pass computes.

        Whoever reads several streams is woken up once.
        """
        for stream, arrived in self.outbox:
            stream.put(arrived)
        for notify in dict.fromkeys(stream.notify for stream, _ in self.outbox if stream.notify is not None):
            with suppress(Exception):  # such as an event loop that is closed: its reader is gone, others are not
                notify()
        self.outbox.clear()

    def step(self) -> None:
        """Read what is due, and hand out the tokens that come of it."""
        for request in self.scheduler.expire(time.monotonic()):
            self.counts.expired += 1
            self.end(self.live[request], DeadlineError("the request's time was over before its text had ended"))
        turn = self.scheduler.schedule(self.seconds_per_token)
        self.counts.preempted += len(turn.preempted)
        before = self.counts.generated_tokens
        if turn.decoding:
            decoding = [self.live[request] for request in turn.decoding]
            self.guarded(decoding, lambda: self.decode(decoding, alone=self.is_alone(turn)))
        if turn.reading:
            reading = [(self.live[request], count) for request, count in turn.reading]
            self.guarded([live for live, _ in reading], lambda: self.read(reading))
        if self.scheduler.running and not (turn.decoding or turn.reading or turn.preempted):
            raise ServingError(
                "no request can go on, though some run: this is a mistake in the engine; please report it"
            )
        self.counts.steps += bool(turn.decoding or turn.reading)
        self.rate.add(self.counts.generated_tokens - before, time.monotonic())

    def is_alone(self, turn: Turn) -> bool:
        """Whether a text has the network for itself."""
        return len(turn.decoding) == 1 and not turn.reading and not self.scheduler.waiting

    def guarded(self, live: Sequence[Live], run: Callable[[], None]) -> None:
        """Run a pass. What breaks it ends its requests, never the engine."""
        try:
            run()
        except Exception as error:
            for each in live:
                if each.request in self.live:
                    self.fail(each, error)
        self.deliver()

    def read(self, reading: Sequence[tuple[Live, int]]) -> None:
        """Read pieces of prompts; those that were read to their end get their next token."""
        start, parts = time.perf_counter(), []
        for live, count in reading:
            first = live.request.read
            parts.append((token_ids(live.request.ids[first : first + count]), self.memory.cache(live.request)))
        logits = self.network.forward_batch(parts)  # [parts, vocab_size]
        self.note(sum(count for _, count in reading), time.perf_counter() - start)
        for (live, _), row in zip(reading, logits, strict=True):
            self.memory.keep(live.request)
            if live.request.unread == 0:
                self.take(live, row[np.newaxis], [])

    def note(self, tokens: int, seconds: float) -> None:
        """So many tokens of prompts took so long. What prepares for later passes, or is held up, hardly counts."""
        if tokens >= FEWEST:
            before, found = self.seconds_per_token, seconds / tokens
            self.seconds_per_token = min(found, 1.05 * before) if before > 0.0 else found

    def decode(self, decoding: Sequence[Live], *, alone: bool) -> None:
        """Read the token that each text chose last, and guesses of those behind it, and choose the next ones."""
        guessing = len(decoding) == 1 or (len(decoding) <= DRAFTING and WORTH <= self.quickest < inf)
        drafts = [self.draft(live) if guessing else [] for live in decoding]
        if alone and not drafts[0] and self.decoder is not None and decoding[0].chosen and decoding[0].text.simple:
            self.run_on(decoding[0])
            return
        start = time.perf_counter()
        parts = [
            (token_ids([live.request.ids[-1], *draft]), self.memory.cache(live.request))
            for live, draft in zip(decoding, drafts, strict=True)
        ]
        logits = self.network.forward_batch(parts, last_only=not any(drafts))  # [parts or rows, vocab_size]
        seconds = time.perf_counter() - start
        if len(decoding) == 1:
            decoding[0].text.passed(len(parts[0][0]), seconds)
        elif not any(drafts):
            self.quickest = min(self.quickest, seconds)
        chosen: Sequence[Chosen | None] = [None] * len(decoding)
        if not any(drafts):
            chosen = choose_simply([live.text for live in decoding], logits, self.sampler)
        first = 0
        for live, draft, token in zip(decoding, drafts, chosen, strict=True):
            self.take(live, logits[first : first + 1 + len(draft)], draft, token)
            first += 1 + len(draft)

    def draft(self, live: Live) -> list[int]:
        """Guesses, as far as there is memory for them."""
        draft = live.text.draft()
        return draft if not draft or self.memory.extend(live.request, 1 + len(draft)) else []

    def run_on(self, live: Live) -> None:
        """Continue the only text by some tokens in one go, few enough that who comes now does not wait long."""
        assert self.decoder is not None
        cache, known = self.memory.cache(live.request), live.chosen
        if not self.memory.extend(live.request, min(live.stride.count, live.text.left, MOST)):
            live.stride.begin()
        try:
            for step in run_on(self.decoder, live.text, cache, self.sampler, live.stride):
                self.push(live, step)
        except Exception as error:
            self.fail(live, error)
            return
        self.advance(live, known)

    def take(self, live: Live, logits: Float32, draft: Sequence[int], chosen: Chosen | None = None) -> None:
        """Go on with the tokens of logits [1 + guesses, vocab_size]; what is wrong with them ends this text alone.

        chosen: the first one, if it is known.
        """
        known = live.chosen
        try:
            for step in take_guessed(live.text, logits, draft, self.sampler, live.since, chosen):
                self.push(live, step)
        except Exception as error:
            self.fail(live, error)
            return
        if draft:
            live.stride.begin()
        self.advance(live, known)

    def advance(self, live: Live, known: int) -> None:
        """Note the tokens chosen behind the first `known` ones; what was read behind them is forgotten."""
        request, cache = live.request, self.memory.cache(live.request)
        request.ids += live.text.generated[known:]
        if cache.length >= len(request.ids):
            cache.truncate(len(request.ids) - 1)
        self.memory.keep(request)
        if live.text.reason is not None:
            self.counts.finished += 1
            self.end(live)

    def push(self, live: Live, step: Step) -> None:
        """Let a step be handed to the reader."""
        live.since = time.perf_counter()
        self.counts.generated_tokens += 1
        self.counts.drafted += step.drafted
        self.counts.accepted += step.guessed
        self.outbox.append((live.stream, step))

    def fail(self, live: Live, error: Exception) -> None:
        """End one request with what is wrong with it."""
        self.counts.failed += 1
        self.end(live, error)


def token_ids(ids: Sequence[int]) -> TokenIds:
    """Ids as the network reads them.  [tokens]"""
    return np.array(ids, np.int32)
