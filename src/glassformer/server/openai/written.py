"""What is asked about the answer's form, in completions and in chat alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from glassformer.generation import asked as generation
from glassformer.generation.logprobs import TokenLogprob
from glassformer.generation.special_ids import end_ids
from glassformer.model import Model
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.openai.flows import Job
from glassformer.server.openai.parameters import SEEDS, flag

MOST_CHOICES = 128  # of one request, all prompts together
MOST_ENTRIES = 1024  # log-probabilities at a token, of all choices together
FORM = ("model", "n", "stream", "stream_options", "response_format", "inspect")


@dataclass(frozen=True)
class Form:
    """How many choices there are of each prompt, and whether they come as events, with usage in the last one."""

    n: int
    stream: bool
    include_usage: bool


def read_form(asked: Asked) -> Form:
    """The form that a request asks for."""
    stream = flag(asked, "stream")
    options = asked.values.get("stream_options", {})
    if not isinstance(options, dict) or not set(options) <= {"include_usage", "include_obfuscation"}:
        raise asked.refused("stream_options", "an object with include_usage")
    if options and not stream:
        raise RequestError("stream_options goes with stream: true", status=400, param="stream_options")
    include = options.get("include_usage", False)
    if not isinstance(include, bool):
        raise asked.refused("stream_options", "include_usage to be true or false")
    return Form(asked.integer("n", 1, MOST_CHOICES, 1), stream, include)


def jobs_of(prompts: list[list[int]], wanted: generation.Asked, each: int) -> list[Job]:
    """So many jobs of each prompt, one prompt after the other; with a seed, that of the nth is n higher.

    Raises:
        RequestError: there are too many.
    """
    if len(prompts) * each > MOST_CHOICES:
        message = f"{len(prompts)} prompts with {each} choices each are more than {MOST_CHOICES}; ask for fewer at once"
        raise RequestError(message, status=422, param="n")
    seeds = [None if wanted.seed is None else (wanted.seed + place) % SEEDS for place in range(each)]
    return [Job(ids, replace(wanted, seed=seed)) for ids in prompts for seed in seeds]


def check_amount(choices: int, logprobs: int) -> None:
    """Refuse an answer that would hold too many log-probabilities, of which the server has to keep all until its end.

    Raises:
        RequestError: with what to do.
    """
    if choices * (1 + logprobs) > MOST_ENTRIES:
        message = (
            f"{choices} choices with {logprobs} log-probabilities are more than {MOST_ENTRIES} of these "
            "at a token; ask for fewer of either"
        )
        raise RequestError(message, status=422, param="logprobs")


def ends_of(model: Model, wanted: generation.Asked) -> frozenset[int]:
    """The ids that end a text and are no part of it."""
    named = frozenset(wanted.stop_ids or ())
    return named if wanted.ignore_eos else named | end_ids(model.config, model.recommended)


def shown(tokens: list[TokenLogprob], ends: frozenset[int]) -> list[TokenLogprob]:
    """The tokens that are part of the text: all but an id that ended it."""
    return tokens[:-1] if tokens and tokens[-1].id in ends else tokens
