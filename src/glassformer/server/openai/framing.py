"""Requests whose end two headers name: refused, since whoever stands before this server may have read another one."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from glassformer.server.errors import answer


class OneLength:
    """Lets requests through whose body has one length (RFC 9112, 6.1), and closes the connections of others."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400, or pass the request on."""
        if scope["type"] == "http" and {b"content-length", b"transfer-encoding"} <= {
            name for name, _ in scope["headers"]
        }:
            message = "there are both Content-Length and Transfer-Encoding; send one of them"
            response = answer(400, message, code="http")
            response.headers["connection"] = "close"
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)
