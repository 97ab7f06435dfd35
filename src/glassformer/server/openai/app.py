"""The application that serves `glassformer serve`: the endpoints, the pages, and who may come in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from glassformer.server.app import failed, refused
from glassformer.server.errors import answer
from glassformer.server.hosts import LOOPBACK, KnownHosts
from glassformer.server.inspect.routes import inspect_routes
from glassformer.server.inspect.runs import Runs
from glassformer.server.inspect.session import Session
from glassformer.server.openai.access import AccessLog, Log, silent
from glassformer.server.openai.chat import chat
from glassformer.server.openai.completions import completions
from glassformer.server.openai.counting import detokenize, tokenize
from glassformer.server.openai.embeddings import embeddings
from glassformer.server.openai.failures import failure
from glassformer.server.openai.framing import OneLength
from glassformer.server.openai.health import health, metrics
from glassformer.server.openai.keys import Keys
from glassformer.server.openai.models import model, models
from glassformer.server.openai.service import Service
from glassformer.server.pages import page_files, page_routes

KEPT_BYTES, LARGEST_RUN = 512 << 20, 1 << 30  # of the inspect page, which is not alone here

Endpoint = Callable[[Service, Request], Awaitable[Response]]
ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/v1/completions", completions),
    ("POST", "/v1/chat/completions", chat),
    ("POST", "/v1/embeddings", embeddings),
    ("GET", "/v1/models", models),
    ("GET", "/v1/models/{name:path}", model),
    ("POST", "/tokenize", tokenize),
    ("POST", "/detokenize", detokenize),
    ("GET", "/health", health),
    ("GET", "/metrics", metrics),
)


@dataclass(frozen=True)
class Doors:
    """Who may come in.

    Attributes:
        hosts: names in a Host header that are answered.
        origins: of pages that are answered beside the server's own; "*" stands for all.
        keys: one of which a request carries; none: nobody is asked.
        inspect: whether the inspect page is served; it asks with no key, and one process has to know its runs.
    """

    hosts: Collection[str] = LOOPBACK
    origins: Collection[str] = ()
    keys: Collection[str] = ()
    inspect: bool = True


def serving_app(service: Service, doors: Doors | None = None, log: Log = silent) -> Starlette:
    """The endpoints over a service, which the application does not end."""
    doors = doors or Doors()
    open_paths = ["/", "/health", *(f"/{name}" for name in page_files("playground"))]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        service.driver.close()
        service.forms.close()

    cors = Middleware(CORSMiddleware, allow_origins=list(doors.origins), allow_methods=["GET", "POST"],
                      allow_headers=["*"], expose_headers=["x-request-id"])  # fmt: skip
    app = Starlette(
        routes=[*endpoint_routes(service), *(looking_routes(service) if doors.inspect else []),
                *page_routes("playground")],
        middleware=[
            Middleware(AccessLog, counters=service.counters, known=[path for _, path, _ in ENDPOINTS], log=log),
            Middleware(OneLength),
            Middleware(KnownHosts, hosts=doors.hosts, origins=doors.origins),
            *([cors] if doors.origins else []),
            Middleware(Keys, keys=doors.keys, open_paths=open_paths),
        ],
        exception_handlers={HTTPException: astray, Exception: failed},
        lifespan=lifespan,
    )  # fmt: skip
    app.router.redirect_slashes = False
    return app


async def astray(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses. Who left out /v1 or wrote it twice is told what was meant."""
    path, known = request.url.path, {path for _, path, _ in ENDPOINTS}
    for meant in (f"/v1{path}", path.removeprefix("/v1")):
        if path not in known and meant in known:
            return answer(404, f"there is nothing at {path!r}, but at {meant!r}; OpenAI clients want a base URL that "
                               "ends with /v1, once")  # fmt: skip
    return await refused(request, error)


def endpoint_routes(service: Service) -> list[BaseRoute]:
    """A route for each endpoint."""
    return [Route(path, handler(service, endpoint), methods=[method]) for method, path, endpoint in ENDPOINTS]


def handler(service: Service, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """What Starlette calls for an endpoint."""

    async def handle(request: Request) -> Response:
        try:
            return await endpoint(service, request)
        except Exception as error:
            return failure(error)

    return handle


def looking_routes(service: Service) -> list[BaseRoute]:
    """The inspect page, whose runs are computed between the engine's steps."""

    async def moved(request: Request) -> Response:
        return RedirectResponse("/inspect/", 308)

    session = Session(service.model, service.name, runs=Runs(KEPT_BYTES, LARGEST_RUN))
    pages = Mount("/inspect", routes=page_routes("inspect"))
    return [Route("/inspect", moved), pages, *inspect_routes(session, service.driver)]
