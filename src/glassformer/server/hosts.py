"""Which requests are let in at all: those that were addressed to this server by a name that it goes by.

A page of another origin can make a browser send requests to a server on the same machine, and can rename itself to that
machine (DNS rebinding). It cannot choose the Host header, which is the name in its own address, nor hide its Origin.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from glassformer.server.errors import answer

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
POLICY = (
    b"default-src 'self'; img-src 'self' data: blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


def host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = header.strip().lower().rpartition(":")
    return name if colon and port.isdecimal() else header.strip().lower()


class KnownHosts:
    """Lets requests through that name a known host, and come from no other origin; adds headers of protection.

    origins: other origins whose pages are answered; "*" stands for all.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str] = ()) -> None:
        self.app, self.hosts, self.origins = app, frozenset(hosts), frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        problem = self.problem(scope)
        if problem:
            await answer(403, problem, code="host")(scope, receive, send)
            return

        async def protected(message: object) -> None:
            if isinstance(message, dict) and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)  # type: ignore[arg-type]

        await self.app(scope, receive, protected)

    def problem(self, scope: Scope) -> str | None:
        """Why a request is not let in, if it is not."""
        headers = [(key, value.decode("latin1")) for key, value in scope["headers"]]
        hosts = [value for key, value in headers if key == b"host"]
        if len(hosts) != 1 or host_name(hosts[0]) not in self.hosts:
            found = "none" if not hosts else repr(hosts[0][:80])
            return f"the Host header is {found}; this server goes by {', '.join(sorted(self.hosts))}"
        known = {f"{scope.get('scheme', 'http')}://{hosts[0]}", *self.origins}
        origins = [value for key, value in headers if key == b"origin"]
        if "*" not in known and any(origin not in known for origin in origins):
            return "this comes from a page of another origin, which this server does not answer"
        return None
