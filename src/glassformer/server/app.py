"""The application that serves `glassformer inspect`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from glassformer.server.driver import Driver
from glassformer.server.errors import answer, error_response
from glassformer.server.hosts import LOOPBACK, KnownHosts
from glassformer.server.inspect.routes import inspect_routes
from glassformer.server.inspect.session import Session
from glassformer.server.pages import page_routes


def inspect_app(session: Session, hosts: Collection[str] = LOOPBACK) -> Starlette:
    """The page that looks inside a model, and what it asks.

    hosts: the names in a Host header that are answered.
    """
    driver = Driver()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        driver.close()

    app = Starlette(
        routes=[*inspect_routes(session, driver), *page_routes("inspect")],
        middleware=[Middleware(KnownHosts, hosts=hosts)],
        exception_handlers={HTTPException: refused, Exception: failed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def refused(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: an unknown address, a method that is not taken."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    headers = (error.headers if isinstance(error, HTTPException) else None) or {}
    taken = ", ".join(sorted(headers.get("Allow", "another method").split(", ")))
    detail = {404: f"there is nothing at {request.url.path[:120]!r}",
              405: f"{request.method[:20]} is not taken here, but {taken}"}.get(status, str(error))  # fmt: skip
    response = answer(status, detail)
    response.headers.update(headers)
    return response


async def failed(request: Request, error: Exception) -> Response:
    """What nobody foresaw."""
    return error_response(error)
