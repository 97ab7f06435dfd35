"""The endpoints by address: each reads the fields that it knows, runs in the model's thread, and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from glassformer.server.binary import Binary
from glassformer.server.body import gone, read_object
from glassformer.server.driver import Driver
from glassformer.server.errors import RequestError, error_response
from glassformer.server.fields import Asked
from glassformer.server.inspect import (
    arrays,
    attention,
    attribution,
    changes,
    facts,
    head_scores,
    ledger,
    lens,
    neurons,
    source,
    sweep,
    texts,
)
from glassformer.server.inspect.session import Session

Answer = dict[str, Any] | Binary
SLOT = 80  # characters of the header that names what a request takes the place of


@dataclass(frozen=True)
class Endpoint:
    """An address under /api/inspect/, the fields that it knows, and what answers it."""

    method: str
    path: str
    answer: Callable[[Session, Asked], Answer]
    keys: tuple[str, ...] = ()


ENDPOINTS = (
    Endpoint("GET", "model", facts.facts),
    Endpoint("GET", "vocabulary", facts.vocabulary),
    Endpoint("POST", "runs", texts.run_text, texts.KEYS),
    Endpoint("GET", "surprise", texts.surprise, texts.SURPRISE_KEYS),
    Endpoint("GET", "array", arrays.array, arrays.ARRAY_KEYS),
    Endpoint("GET", "logits", arrays.logits, arrays.LOGITS_KEYS),
    Endpoint("GET", "attention/thumbnails", attention.thumbnails, attention.THUMBNAIL_KEYS),
    Endpoint("GET", "attention/head", attention.head, attention.HEAD_KEYS),
    Endpoint("GET", "attention/row", attention.row, attention.ROW_KEYS),
    Endpoint("GET", "lens", lens.lens, lens.KEYS),
    Endpoint("GET", "attribution", attribution.attribution, attribution.KEYS),
    Endpoint("GET", "firing", neurons.firing_at, neurons.FIRING_KEYS),
    Endpoint("GET", "neuron", neurons.activations, neurons.NEURON_KEYS),
    Endpoint("GET", "neuron/tokens", neurons.tokens, neurons.TOKENS_KEYS),
    Endpoint("POST", "interventions", changes.interventions, changes.KEYS),
    Endpoint("POST", "sweep", sweep.sweep, sweep.KEYS),
    Endpoint("GET", "head_scores", head_scores.scores, head_scores.KEYS),
    Endpoint("POST", "ledger", ledger.ledger, ledger.LEDGER_KEYS),
    Endpoint("GET", "assembly", ledger.assembly, ledger.ASSEMBLY_KEYS),
    Endpoint("GET", "source", source.source),
)


def inspect_routes(session: Session, driver: Driver) -> list[BaseRoute]:
    """A route for each endpoint."""
    return [Route(f"/api/inspect/{each.path}", handler(each, session, driver), methods=[each.method])
            for each in ENDPOINTS]  # fmt: skip


def handler(endpoint: Endpoint, session: Session, driver: Driver) -> Callable[[Request], Awaitable[Response]]:
    """What Starlette calls for an endpoint."""

    async def handle(request: Request) -> Response:
        try:
            asked = await fields(endpoint, request)
            slot = request.headers.get("x-slot", "")[:SLOT]
            found = await driver.run(lambda: endpoint.answer(session, asked), slot, lambda: gone(request))
        except Exception as error:
            return error_response(error)
        return found.response() if isinstance(found, Binary) else JSONResponse(found)

    return handle


async def fields(endpoint: Endpoint, request: Request) -> Asked:
    """The fields of a request, from its body or its address."""
    if endpoint.method == "POST":
        if request.query_params:
            raise RequestError("this takes its parameters in the body, not in the address", status=422)
        return Asked(await read_object(request), endpoint.keys, text=False)
    pairs = request.query_params.multi_items()
    if len(dict(pairs)) < len(pairs):
        raise RequestError("a parameter is given twice in the address", status=422)
    return Asked(dict(pairs), endpoint.keys, text=True)
