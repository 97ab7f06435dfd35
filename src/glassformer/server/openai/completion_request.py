"""A request for completions, read and checked."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from glassformer.generation import asked as generation
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.openai.harmless import OF_COMPLETIONS, check_harmless
from glassformer.server.openai.looking import Look, read_look
from glassformer.server.openai.parameters import MOST_LOGPROBS, MOST_TOKENS, SAMPLING, flag, wanted
from glassformer.server.openai.prompts import read_prompts
from glassformer.server.openai.response_format import constrained
from glassformer.server.openai.service import Service
from glassformer.server.openai.written import FORM, MOST_CHOICES, Form, check_amount, read_form

KEYS = (*FORM, "prompt", "max_tokens", "best_of", "echo", "logprobs", *SAMPLING, *OF_COMPLETIONS)
USUAL_TOKENS = 16  # as the interface has it


@dataclass(frozen=True)
class CompletionRequest:
    """What is to be completed, and how the answer is to look.

    Attributes:
        prompts: ids, none empty.
        wanted: of the engine, for each choice.
        max_tokens: 0 where nothing is to be written, and the prompts are to be echoed alone.
        best_of: continuations that are written for each prompt; the `n` most probable ones are given.
        echo: whether texts begin with their prompts.
        logprobs: how many tokens to name at each place; None: no log-probabilities at all.
        look: what to capture and to change on the way; None: nothing.
    """

    prompts: list[list[int]]
    wanted: generation.Asked
    max_tokens: int
    form: Form
    best_of: int
    echo: bool
    logprobs: int | None
    look: Look | None


async def read_completion(service: Service, request: Request, asked: Asked) -> CompletionRequest:
    """The request that fields mean.

    Raises:
        RequestError, GenerationError: for a field that is wrong.
    """
    model = service.model
    check_harmless(asked, OF_COMPLETIONS)
    form, echo = read_form(asked), flag(asked, "echo")
    logprobs = asked.integer("logprobs", 0, MOST_LOGPROBS) if "logprobs" in asked.values else None
    max_tokens = asked.integer("max_tokens", 0 if echo else 1, MOST_TOKENS, USUAL_TOKENS)
    best_of = asked.integer("best_of", form.n, MOST_CHOICES, form.n)
    if form.stream and best_of > form.n:
        message = "best_of is chosen at the end, which a stream cannot wait for; leave one of them out"
        raise RequestError(message, status=400, param="best_of")
    if max_tokens == 0 and form.stream:
        raise RequestError("max_tokens is 0, so there is nothing to stream", status=400, param="stream")
    options = wanted(model, asked, max(max_tokens, 1), logprobs or 0)
    prompts = await read_prompts(model, asked, "prompt")
    check_amount(len(prompts) * best_of, logprobs or 0)
    options = await constrained(service, request, asked, options, prompts[0])
    look = read_look(asked, len(prompts) * best_of if max_tokens else 0, stream=form.stream)
    return CompletionRequest(prompts, options, max_tokens, form, best_of, echo, logprobs, look)
