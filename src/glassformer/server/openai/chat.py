"""/v1/chat/completions: the next message of a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from glassformer.generation import asked as generation
from glassformer.generation.continuation import Generation, Step
from glassformer.generation.errors import ContextError
from glassformer.generation.stopping import check_fits
from glassformer.server.body import read_object
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.openai.envelope import Envelope
from glassformer.server.openai.events import KEEP_ALIVE, Events, EventStream
from glassformer.server.openai.failures import TOO_LONG
from glassformer.server.openai.flows import Flows, Job
from glassformer.server.openai.harmless import OF_CHAT, check_harmless
from glassformer.server.openai.leaving import unless_gone
from glassformer.server.openai.logprobs import chat_logprobs
from glassformer.server.openai.looking import Look, look, read_look
from glassformer.server.openai.making import Whole, joined, made
from glassformer.server.openai.messages import read_messages
from glassformer.server.openai.parameters import (
    MOST_LOGPROBS,
    MOST_TOKENS,
    SAMPLING,
    check_model,
    flag,
    given,
    wanted,
)
from glassformer.server.openai.response_format import constrained
from glassformer.server.openai.service import Service
from glassformer.server.openai.usage import Usage
from glassformer.server.openai.written import FORM, Form, check_amount, ends_of, jobs_of, read_form, shown

LIMITS = ("max_tokens", "max_completion_tokens")
KEYS = (*FORM, *LIMITS, "messages", "logprobs", "top_logprobs", *SAMPLING, *OF_CHAT)
Object = dict[str, Any]
NO_TEMPLATE = (
    "this model has no chat template, so there is no way of its own to write a conversation; complete a text with "
    "/v1/completions, or serve a model whose tokenizer_config.json has a chat_template"
)


@dataclass(frozen=True)
class ChatRequest:
    """A conversation as ids, and what is asked of its next message."""

    ids: list[int]
    wanted: generation.Asked
    form: Form
    logprobs: bool
    look: Look | None


async def read_chat(service: Service, request: Request, asked: Asked) -> ChatRequest:
    """The request that fields mean.

    Raises:
        RequestError, GenerationError: for a field that is wrong, or a model without a template.
    """
    template, model = service.template, service.model
    if template is None:
        raise RequestError(NO_TEMPLATE, status=400, param="messages", code="no_chat_template")
    check_harmless(asked, OF_CHAT)
    messages, form, logprobs = read_messages(asked), read_form(asked), flag(asked, "logprobs")
    leaders = asked.integer("top_logprobs", 0, MOST_LOGPROBS, 0)
    if leaders and not logprobs:
        raise RequestError("top_logprobs goes with logprobs: true", status=400, param="top_logprobs")
    options = wanted(model, asked, longest(asked, model.config.n_positions), leaders)
    check_amount(form.n, leaders)
    ids = await asyncio.to_thread(template.ids, messages, model.known_tokenizer)
    if not ids:
        raise RequestError("the conversation is an empty text", status=400, param="messages")
    try:
        check_fits(len(ids), model.config.n_positions, "the conversation")
    except ContextError as error:
        raise RequestError(str(error), status=400, param="messages", code=TOO_LONG) from None
    options = await constrained(service, request, asked, options, ids)
    return ChatRequest(ids, options, form, logprobs, read_look(asked, form.n, stream=form.stream))


def longest(asked: Asked, usual: int) -> int:
    """The limit of the message in tokens, which has an old name and a new one."""
    found = [asked.integer(key, 1, MOST_TOKENS, usual) for key in LIMITS]
    if found[0] != found[1] and all(key in asked.values for key in LIMITS):
        message = f"{LIMITS[0]} and {LIMITS[1]} mean the same, and differ; give one of them"
        raise RequestError(message, status=400, param=LIMITS[1])
    return min(found)


async def chat(service: Service, request: Request) -> Response:
    """Answer a request."""
    fields = Asked(given(await read_object(request)), KEYS, text=False)
    check_model(fields, service.name)
    asked = await read_chat(service, request, fields)
    kind = "chat.completion.chunk" if asked.form.stream else "chat.completion"
    envelope = Envelope.new("chatcmpl", kind, service.name)
    if asked.look is not None:
        work = look(service, Job(asked.ids, asked.wanted), asked.look)
        looked = await unless_gone(request, work, service.deadline)
        return Whole(answered(service, asked, envelope, [looked.done]) | {"inspect": looked.inspect})
    flows = Flows(service, jobs_of([asked.ids], asked.wanted, asked.form.n))
    if asked.form.stream:
        return EventStream(flows, events(service, asked, envelope, flows))
    with flows:
        done = await unless_gone(request, flows.finish())
    entries = each_token(asked) * sum(len(each.ids) for each in done)
    return await made(lambda: Whole(answered(service, asked, envelope, done)), entries)


def each_token(asked: ChatRequest) -> int:
    """Log-probabilities that are written for each token."""
    return 1 + asked.wanted.logprobs if asked.logprobs else 0


def answered(service: Service, asked: ChatRequest, envelope: Envelope, done: list[Generation]) -> Object:
    """The answer, whole."""
    usage = Usage(len(asked.ids), sum(len(each.ids) for each in done))
    service.counters.add(usage)
    return envelope.around([whole(service, asked, index, each) for index, each in enumerate(done)], usage)


def whole(service: Service, asked: ChatRequest, index: int, done: Generation) -> Object:
    """One message."""
    tokens = shown(done.logprobs, ends_of(service.model, asked.wanted))
    return {
        "index": index,
        "message": {"role": "assistant", "content": done.text, "refusal": None},
        "logprobs": chat_logprobs(service.model, tokens) if asked.logprobs else None,
        "finish_reason": done.finish_reason,
    }


def delta(index: int, change: Object, logprobs: Object | None = None, reason: str | None = None) -> Object:
    """A piece of a message."""
    return {"index": index, "delta": change, "logprobs": logprobs, "finish_reason": reason}


def pieces(service: Service, asked: ChatRequest, index: int, step: Step) -> list[Object]:
    """What one token adds, and the end if it was the last."""
    tokens = shown([step.token], ends_of(service.model, asked.wanted)) if asked.logprobs else []
    logprobs = chat_logprobs(service.model, tokens) if tokens else None
    found = [delta(index, {"content": step.text}, logprobs)] if step.text or logprobs else []
    return found + ([delta(index, {}, reason=step.finish_reason)] if step.finish_reason else [])


async def events(service: Service, asked: ChatRequest, envelope: Envelope, flows: Flows) -> AsyncIterator[bytes]:
    """The messages in pieces."""
    written, count = Events(envelope, with_usage=asked.form.include_usage), 0
    for index in range(len(flows.streams)):
        yield written.choice(delta(index, {"role": "assistant", "content": ""}))
    while not flows.ended:
        found = await flows.next(service.keep_alive)
        count += len(found)
        several = (piece for place, step in found for piece in pieces(service, asked, place, step))
        data = await made(partial(joined, written, several), each_token(asked) * len(found))
        if data or not (found or flows.ended):
            yield data or KEEP_ALIVE
    usage = Usage(len(asked.ids), count)
    service.counters.add(usage)
    yield written.end(usage)
