"""/v1/completions: texts that go on where prompts end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from glassformer.generation.continuation import Generation, Step
from glassformer.generation.logprobs import TokenLogprob
from glassformer.generation.score import token_logprobs
from glassformer.server.body import read_object
from glassformer.server.fields import Asked
from glassformer.server.openai.completion_request import KEYS, CompletionRequest, read_completion
from glassformer.server.openai.envelope import Envelope
from glassformer.server.openai.events import KEEP_ALIVE, Events, EventStream
from glassformer.server.openai.flows import Flows, Job
from glassformer.server.openai.leaving import unless_gone
from glassformer.server.openai.logprobs import TextLogprobs
from glassformer.server.openai.looking import look
from glassformer.server.openai.making import Whole, joined, made
from glassformer.server.openai.parameters import check_model, given
from glassformer.server.openai.service import Service
from glassformer.server.openai.tokens import text_of
from glassformer.server.openai.usage import Usage
from glassformer.server.openai.written import ends_of, jobs_of, shown

Object = dict[str, Any]
Scores = list[list[TokenLogprob | int]]


class Choice:
    """One text of an answer, whole or in pieces."""

    def __init__(self, service: Service, asked: CompletionRequest, index: int, ids: list[int]) -> None:
        self.model, self.index = service.model, index
        self.ends = ends_of(service.model, asked.wanted)
        self.ids, self.echo = ids, asked.echo
        self.logprobs = None if asked.logprobs is None else TextLogprobs(service.model)

    def write(self, text: str, tokens: Sequence[TokenLogprob | int], reason: str | None) -> Object:
        """A piece, or all of it."""
        found = None if self.logprobs is None else self.logprobs.write(tokens)
        return {"index": self.index, "text": text, "logprobs": found, "finish_reason": reason}

    def whole(self, done: Generation | None, scores: list[TokenLogprob | int]) -> Object:
        """Prompt, if it is echoed, and continuation, if there is one."""
        head = text_of(self.model, self.ids) if self.echo else ""
        if done is None:
            return self.write(head, scores, "length")
        return self.write(head + done.text, [*scores, *shown(done.logprobs, self.ends)], done.finish_reason)

    def piece(self, step: Step) -> Object | None:
        """What one token adds; None if that is nothing."""
        tokens = shown([step.token], self.ends) if step.finish_reason == "stop" else [step.token]
        if not (step.text or step.finish_reason or (tokens and self.logprobs)):
            return None
        return self.write(step.text, tokens, step.finish_reason)


async def completions(service: Service, request: Request) -> Response:
    """Answer a request."""
    fields = Asked(given(await read_object(request)), KEYS, text=False)
    check_model(fields, service.name)
    asked = await read_completion(service, request, fields)
    envelope = Envelope.new("cmpl", "text_completion", service.name)
    scores = await unless_gone(request, prompt_scores(service, asked), service.deadline)
    if asked.form.stream:
        flows = Flows(service, jobs_of(asked.prompts, asked.wanted, asked.form.n))
        return EventStream(flows, events(service, asked, envelope, flows, scores))
    done: list[Generation] = []
    extra: Object = {}
    if asked.look is not None:
        work = look(service, Job(asked.prompts[0], asked.wanted), asked.look)
        looked = await unless_gone(request, work, service.deadline)
        done, extra = [looked.done], {"inspect": looked.inspect}
    elif asked.max_tokens:
        with Flows(service, jobs_of(asked.prompts, asked.wanted, asked.best_of)) as flows:
            done = await unless_gone(request, flows.finish())
    usage = Usage.of(asked.prompts, sum(len(each.ids) for each in done))
    service.counters.add(usage)
    entries = each_token(asked) * (usage.prompt_tokens + usage.completion_tokens)
    return await made(lambda: Whole(envelope.around(choices(service, asked, done, scores), usage) | extra), entries)


def each_token(asked: CompletionRequest) -> int:
    """Log-probabilities that are written for each token."""
    return 0 if asked.logprobs is None else 1 + asked.logprobs


def choices(service: Service, asked: CompletionRequest, done: list[Generation], scores: Scores) -> list[Object]:
    """The choices of each prompt, the most probable ones where more were written than asked for."""
    found: list[Object] = []
    for place, ids in enumerate(asked.prompts):
        written: list[Generation | None] = [*done[place * asked.best_of : (place + 1) * asked.best_of]]
        if asked.best_of > asked.form.n:
            written.sort(key=lambda each: -mean_logprob(each) if each else 0.0)
        for each in written[: asked.form.n] or [None] * asked.form.n:
            found.append(Choice(service, asked, len(found), ids).whole(each, scores[place]))
    return found


def mean_logprob(done: Generation) -> float:
    """The log-probability per token."""
    return sum(each.logprob for each in done.logprobs) / len(done.logprobs)


async def prompt_scores(service: Service, asked: CompletionRequest) -> Scores:
    """For each prompt its tokens with their log-probabilities, where they are echoed and these are asked for."""
    if not asked.echo or asked.logprobs is None:
        return [[] for _ in asked.prompts]
    network, top = service.model.network, asked.logprobs
    found: Scores = []
    for ids in asked.prompts:
        rest = await service.driver.run(lambda ids=ids: token_logprobs(network, ids, top)) if len(ids) > 1 else []  # type: ignore[misc]
        found.append([ids[0], *rest])
    return found


def echoed(service: Service, written: Events, choice: Choice, known: list[TokenLogprob | int]) -> bytes:
    """The prompt of a choice."""
    return written.choice(choice.write(text_of(service.model, choice.ids), known, None))


async def events(
    service: Service, asked: CompletionRequest, envelope: Envelope, flows: Flows, scores: Scores
) -> AsyncIterator[bytes]:
    """The answer in pieces."""
    n, written, count = asked.form.n, Events(envelope, with_usage=asked.form.include_usage), 0
    several = [Choice(service, asked, place, asked.prompts[place // n]) for place in range(len(flows.streams))]
    if asked.echo:
        for choice in several:
            known = scores[choice.index // n]
            piece = partial(echoed, service, written, choice, known)
            yield await made(piece, each_token(asked) * len(known))
    while not flows.ended:
        found = await flows.next(service.keep_alive)
        count += len(found)
        pieces = (several[place].piece(step) for place, step in found)
        data = await made(partial(joined, written, pieces), each_token(asked) * len(found))
        if data or not (found or flows.ended):
            yield data or KEEP_ALIVE
    usage = Usage.of(asked.prompts, count)
    service.counters.add(usage)
    yield written.end(usage)
