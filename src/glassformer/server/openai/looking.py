"""`inspect` in a request: what the model computes on the way to the answer, and changes to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.generation import asked as generation
from glassformer.generation.continuation import Generation, Step, gather
from glassformer.generation.logprobs import TokenLogprob, leaders
from glassformer.introspect.documents import from_dict
from glassformer.introspect.edit import edited
from glassformer.introspect.interventions import Intervention
from glassformer.introspect.numbers import as_json
from glassformer.introspect.trace import TraceStep, trace
from glassformer.runtime.sampling import Sampler
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.openai.flows import Job
from glassformer.server.openai.service import Service

Float32 = npt.NDArray[np.float32]
MOST_NAMES = 256
MOST_INTERVENTIONS = 256
MOST_BYTES = 32 << 20  # of arrays in an answer, before base64
KEYS = ("capture", "interventions")


@dataclass(frozen=True)
class Look:
    """What is captured, by names of sites or globs, and what is changed."""

    names: tuple[str, ...]
    interventions: tuple[Intervention, ...]


def read_look(asked: Asked, choices: int, *, stream: bool) -> Look | None:
    """What a request wants to see; None: nothing.

    Raises:
        RequestError: for a request with several choices or as a stream, whose arrays have no place in it.
        DocumentError: for interventions that are none.
    """
    value = asked.values.get("inspect")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise asked.refused("inspect", "an object with capture, interventions or both")
    if choices != 1 or stream:
        raise RequestError("inspect goes with one prompt, one choice and no stream", status=400, param="inspect")
    try:
        fields = Asked(value, KEYS, text=False)
        names, given = fields.items("capture", MOST_NAMES), fields.items("interventions", MOST_INTERVENTIONS)
    except RequestError as error:
        raise RequestError(f"inspect: {error}", status=422, param="inspect") from None
    if not all(isinstance(name, str) and 0 < len(name) <= 100 for name in names):
        raise asked.refused("inspect", "capture to be a list of names of sites, or globs of them")
    changes = [from_dict(each, f"intervention {place}") for place, each in enumerate(given)]
    return Look(tuple(names), tuple(changes))


@dataclass(frozen=True)
class Looked:
    """An answer, and `inspect` in it: the tokens that were read, and for each site an array with a row for each."""

    done: Generation
    inspect: dict[str, Any]


async def look(service: Service, job: Job, wanted: Look) -> Looked:
    """What is wanted, once nobody else looks."""
    async with service.looking:
        return await look_alone(service, job, wanted)


async def look_alone(service: Service, job: Job, wanted: Look) -> Looked:
    """A continuation with the arrays of sites, computed by itself, a token at a time between the engine's steps.

    Arrays of all passes are joined, so that there is a row for each token that was read: prompt and continuation but
    for its last token, which nothing read.

    Raises:
        IntrospectionError: for sites or changes that do not fit the model, or too many bytes.
    """
    model = edited(service.model, list(wanted.interventions)) if wanted.interventions else service.model
    text, seed = model.continuation(job.ids, replace(job.asked, speculate=False))
    steps = await service.driver.run(lambda: trace(model, text, list(wanted.names), limit=MOST_BYTES))
    sampler, done = Sampler(model.config.vocab_size), list[Step]()
    parts: dict[str, list[Float32]] = {}
    while (traced := await service.driver.run(lambda: next(steps, None))) is not None:
        done.append(as_step(traced, job.asked, sampler))
        for name, array in traced.cache.items():
            parts.setdefault(name, []).append(array.copy())
        del traced
    result = gather(done, text.prompt, seed)
    rows = len(text.prompt) + len(result.ids) - 1
    arrays = {name: as_json(joined(name, several, rows)) for name, several in parts.items()}
    return Looked(result, {"ids": [*text.prompt, *result.ids][:rows], "arrays": arrays})


def as_step(traced: TraceStep, asked: generation.Asked, sampler: Sampler) -> Step:
    """A traced step as any other."""
    logprob = TokenLogprob(traced.token, traced.logprob, leaders(traced.logits, asked.logprobs, sampler))
    return Step(logprob, traced.text, traced.finish_reason, 0.0)


def joined(name: str, parts: list[Float32], keys: int) -> Float32:
    """The arrays of one site behind each other."""
    if not name.endswith(("hook_pattern", "hook_attn_scores")):
        return np.concatenate(parts)
    fill = 0.0 if name.endswith("hook_pattern") else -np.inf
    return np.concatenate([widened(part, keys, fill) for part in parts], axis=1)  # [n_head, queries, keys]


def widened(part: Float32, keys: int, fill: float) -> Float32:
    """[n_head, queries, some keys] -> [n_head, queries, keys]: later tokens, which a query does not attend to."""
    found = np.full((*part.shape[:-1], keys), fill, np.float32)
    found[..., : part.shape[-1]] = part
    return found
