"""Server-sent events: a stream of JSON objects that ends when it has ended, or when the client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from glassformer.server.openai.envelope import Envelope, Object
from glassformer.server.openai.failures import failure
from glassformer.server.openai.flows import Flows
from glassformer.server.openai.usage import Usage

KEEP_ALIVE = b": still here\n\n"
DONE = b"data: [DONE]\n\n"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # the latter: no proxy is to hold events back


ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
HOLE = "[null]"  # where the choice of an event comes


class Events:
    """The events of one stream: what stands around choices is written once."""

    def __init__(self, envelope: Envelope, *, with_usage: bool) -> None:
        self.envelope, self.with_usage = envelope, with_usage
        head, _, tail = ENCODE(envelope.around([None], asked=with_usage)).rpartition(HOLE)
        self.head, self.tail = f"data: {head}[".encode(), f"]{tail}\n\n".encode()

    def choice(self, choice: Object) -> bytes:
        """An event with a piece of a choice."""
        return self.head + ENCODE(choice).encode() + self.tail

    def end(self, usage: Usage) -> bytes:
        """What ends the stream: the usage, if it is asked for, and that it has ended."""
        last = f"data: {ENCODE(self.envelope.around([], usage))}\n\n".encode() if self.with_usage else b""
        return last + DONE


class EventStream(Response):
    """Sends events while flows go on, and cancels these when the client has left."""

    media_type = "text/event-stream"

    def __init__(self, flows: Flows, events: AsyncIterator[bytes]) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self.flows, self.events = flows, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, or until the client is gone."""
        with self.flows:
            sending = asyncio.ensure_future(self.send_all(send))
            leaving = asyncio.ensure_future(left(receive))
            try:
                await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            finally:
                sending.cancel()
                leaving.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)

    async def send_all(self, send: Send) -> None:
        """The events; an error that ends them is the last one."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self.events) as events:  # type: ignore[type-var]
                async for data in events:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        except Exception as error:
            last = b"data: " + bytes(failure(error).body) + b"\n\n"
            await send({"type": "http.response.body", "body": last, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def left(receive: Receive) -> None:
    """Ends when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
