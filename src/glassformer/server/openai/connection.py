"""Connections that are bounded in time and number: a client that neither sends nor reads is let go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from glassformer.server.errors import answer

LINGER = 1.0  # seconds in which a client that is refused may go on sending, so that it comes to read why


@dataclass(frozen=True)
class Bounds:
    """What a connection may take.

    Attributes:
        head_seconds: until the head of its first request is there, and from each later one's first byte to its last.
        stalled_seconds: that it may leave what was sent to it unread.
        connections: that may be open at once; one more is closed at once.
        head_bytes: of a request's head.
    """

    head_seconds: float = 20.0
    stalled_seconds: float = 30.0
    connections: int = 1024
    head_bytes: int = 32 << 10


class Bounded(H11Protocol):
    """One connection; `bounded` makes a class of its own for each set of bounds, since uvicorn makes the instances."""

    bounds = Bounds()
    head_timer: asyncio.TimerHandle | None = None
    stalled_timer: asyncio.TimerHandle | None = None
    refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            transport.abort()
            return
        self.watch_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes, of which some may be the beginning of a head."""
        if not self.refused:
            super().data_received(data)
            self.watch_head()

    def watch_head(self) -> None:
        """Begin to wait for a whole head where one is due, and stop where it has come."""
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        if cycle is not None and not cycle.response_complete:
            self.drop(self.head_timer)
            self.head_timer = None
        elif self.head_timer is None and not self.refused:
            self.head_timer = self.loop.call_later(self.bounds.head_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        """What was sent is not read: begin to wait."""
        super().pause_writing()
        self.stalled_timer = self.loop.call_later(self.bounds.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It was read."""
        super().resume_writing()
        self.drop(self.stalled_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing to wait for any more."""
        super().connection_lost(exc)
        self.drop(self.head_timer)
        self.drop(self.stalled_timer)

    def drop(self, timer: asyncio.TimerHandle | None) -> None:
        """Stop waiting."""
        if timer is not None:
            timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or has too long a head, in the shape of all errors."""
        response = answer(400, "the request is not HTTP/1.1, or its head is longer than "
                               f"{self.bounds.head_bytes:,} bytes", code="http")  # fmt: skip
        body = bytes(response.body)
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.write_eof()
        self.refused = True
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:  # its body has gone wrong: nobody waits for the answer
            cycle.disconnected = True
            cycle.message_event.set()
        self.drop(self.head_timer)
        self.head_timer = self.loop.call_later(LINGER, self.transport.abort)


def bounded(bounds: Bounds) -> type[asyncio.Protocol]:
    """uvicorn's protocol with bounds."""
    return type("Bounded", (Bounded,), {"bounds": bounds})
