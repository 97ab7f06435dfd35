"""Who may ask: those that know a key, where keys were given."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from hashlib import sha256

from starlette.types import ASGIApp, Receive, Scope, Send

from glassformer.server.errors import answer


class Keys:
    """Lets requests through that carry `Authorization: Bearer` and one of the keys; and those for open addresses."""

    def __init__(self, app: ASGIApp, keys: Collection[str], open_paths: Collection[str]) -> None:
        self.app, self.open_paths = app, frozenset(open_paths)
        self.digests = [sha256(key.encode()).digest() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or pass the request on."""
        if scope["type"] == "http" and self.digests and scope["path"] not in self.open_paths:
            given = [value for key, value in scope["headers"] if key == b"authorization"]
            if len(given) != 1 or not self.known(given[0]):
                message = (
                    "this server wants an API key: send the header Authorization: Bearer KEY with one that it knows"
                )
                response = answer(401, message, code="invalid_api_key")
                response.headers["www-authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def known(self, header: bytes) -> bool:
        """Whether a header holds a key. Digests of all are compared, in the same time whatever they share."""
        kind, _, key = header.partition(b" ")
        digest = sha256(key.strip()).digest()
        found = [hmac.compare_digest(digest, each) for each in self.digests]
        return kind.lower() == b"bearer" and any(found)
