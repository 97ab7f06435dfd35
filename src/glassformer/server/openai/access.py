"""A line for every request: who asked what, and what came of it."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glassformer.server.openai.counters import Counters

LONGEST_PATH, LONGEST_CLIENT = 200, 64
Log = Callable[["Access"], None]


@dataclass(frozen=True)
class Access:
    """One request and its answer. Neither texts nor keys nor queries are noted.

    Attributes:
        time: when the answer ended, in seconds since 1970.
        request: the id that the answer carries as x-request-id.
        client: its address; of one that asks through a proxy on this machine, what the proxy says that it is.
        status: 499 where the client left before the answer began.
        bytes: of the answer's body.
        seconds: from the request's head to the answer's end.
    """

    time: float
    request: str
    client: str
    method: str
    path: str
    status: int
    bytes: int
    seconds: float


class AccessLog:
    """Counts and notes requests, and gives each an id."""

    def __init__(self, app: ASGIApp, counters: Counters, known: Collection[str], log: Log) -> None:
        """known: addresses that are counted by name; all others are counted as one, since anybody can think of many."""
        self.app, self.counters, self.known, self.log = app, counters, frozenset(known), log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note what came of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, request, status, size = time.perf_counter(), secrets.token_hex(8), 499, 0

        async def noted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request.encode())]
            size += len(message.get("body", b""))
            await send(message)

        self.counters.open += 1
        try:
            await self.app(scope, receive, noted)
        finally:
            self.counters.open -= 1
            seconds = time.perf_counter() - start
            place = scope["path"] if scope["path"] in self.known else "other"
            self.counters.answers[place, status] += 1
            self.counters.seconds[place] += seconds
            client = (scope.get("client") or ("-",))[0][:LONGEST_CLIENT]
            path = scope["path"][:LONGEST_PATH]
            self.log(Access(time.time(), request, client, scope["method"], path, status, size, seconds))


def silent(access: Access) -> None:
    """Note nothing."""


def as_json(access: Access) -> None:
    """One object a line on standard error."""
    say(json.dumps(asdict(access) | {"seconds": round(access.seconds, 6), "time": round(access.time, 3)}))


def as_text(access: Access) -> None:
    """A readable line on standard error; what clients wrote is escaped, so that it makes no lines or columns."""
    when = time.strftime("%H:%M:%S", time.localtime(access.time))
    client, path = escaped(access.client), escaped(access.path)
    what = f"{access.method[:20]} {path} {access.status} {access.bytes} B {access.seconds:.3f} s"
    say(f"{when} {client} {what} {access.request}")


def escaped(text: str) -> str:
    """A text as one printable word of ASCII."""
    return text.encode("unicode_escape").decode().replace(" ", "\\x20")


def say(line: str) -> None:
    """Write a line to standard error; where that is closed, nobody is told."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


LOGS: dict[str, Log] = {"text": as_text, "json": as_json, "none": silent}
