"""The client of benchmarks/serving.py, in a process of its own: many event streams on one thread, with little work.

    python benchmarks/serving_client.py < load.json

One loop over plain sockets notes when the pieces of each answer arrive; what a piece says is only looked at for how
many tokens of text it brings. Beside the streams, the server is asked for its health again and again.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

TOKEN = re.compile(rb'"text": ?"(?!")')  # an event with text
PAUSE = 0.05  # seconds between two questions for health
PATIENCE = 120.0  # seconds that a whole load may take


@dataclass
class Asked:
    """A request, and what came of it, in seconds since the load began."""

    body: str
    late: bool = False  # it is sent when every other one has begun to answer
    sent: float = 0.0
    times: list[float] = field(default_factory=list)  # of each token
    ended: float = 0.0
    status: int = 0
    length: bool = False  # whether the text is as long as it was asked to be


class Line:
    """A connection on which requests are answered one after the other."""

    def __init__(self, address: tuple[str, int], path: str, waiting: deque[Asked]) -> None:
        self.address, self.path, self.waiting = address, path, waiting
        self.asked: Asked | None = None
        self.buffer = b""
        self.head = True
        self.socket: socket.socket | None = None

    def begin(self, now: float) -> socket.socket | None:
        """Send the next request; None if there is no more."""
        if not self.waiting:
            self.asked = None
            return None
        self.asked, self.buffer, self.head = self.waiting.popleft(), b"", True
        self.asked.sent = now
        self.socket = socket.create_connection(self.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = self.asked.body.encode()
        self.socket.sendall(
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return self.socket

    def arrived(self, data: bytes, now: float) -> None:
        """Some bytes of the answer: note the tokens in the events that are whole."""
        assert self.asked
        self.buffer += data
        if self.head:
            head, gap, rest = self.buffer.partition(b"\r\n\r\n")
            if not gap:
                return
            self.asked.status, self.buffer, self.head = int(head.split(None, 2)[1]), rest, False
        events, _, self.buffer = self.buffer.rpartition(b"\n\n")
        self.asked.times += [now] * len(TOKEN.findall(events))
        self.asked.length |= b'"length"' in events

    def ended(self, now: float) -> None:
        """The whole answer is there."""
        assert self.asked
        self.asked.ended = now


class Health:
    """Asks how the server is, over and over, and notes how long each answer takes, connections included."""

    def __init__(self, address: tuple[str, int], path: str) -> None:
        self.address = address
        self.question = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        self.sent, self.due, self.seconds = 0.0, 0.0, list[float]()

    def ask(self, now: float) -> socket.socket | None:
        """Ask again, if it is time."""
        if self.sent or now < self.due:
            return None
        self.sent = now
        connection = socket.create_connection(self.address)
        connection.sendall(self.question)
        return connection

    def ended(self, now: float) -> None:
        """The whole answer is there."""
        self.seconds.append(now - self.sent)
        self.sent, self.due = 0.0, now + PAUSE


def hold(load: dict[str, Any]) -> dict[str, Any]:
    """Keep so many streams busy until all requests are answered.

    load: port, path, health (a path or empty), streams, requests: [{"body", "late"}].
    """
    address, selector = ("127.0.0.1", load["port"]), selectors.DefaultSelector()
    every = [Asked(**each) for each in load["requests"]]
    usual, late = (deque(each for each in every if each.late == kind) for kind in (False, True))
    first = list(usual)[: load["streams"]]
    health = Health(address, load["health"]) if load["health"] else None
    start, worked = time.perf_counter(), time.process_time()

    def begin(line: Line) -> bool:
        connection = line.begin(time.perf_counter() - start)
        if connection:
            selector.register(connection, selectors.EVENT_READ, line)
        return bool(connection)

    busy = sum(begin(Line(address, load["path"], usual)) for _ in range(load["streams"]))
    while busy:
        now = time.perf_counter() - start
        if now > PATIENCE:
            sys.exit(f"the server has not answered within {PATIENCE:g} seconds")
        if health and (asking := health.ask(now)):
            selector.register(asking, selectors.EVENT_READ, health)
        if late and all(each.times for each in first):
            busy += sum(begin(Line(address, load["path"], late)) for _ in list(late))
        for key, _ in selector.select(PAUSE / 2):
            data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
            now = time.perf_counter() - start
            if data:
                if isinstance(key.data, Line):
                    key.data.arrived(data, now)
                continue
            selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
            key.data.ended(now)
            if isinstance(key.data, Line):
                busy += begin(key.data) - 1
    seconds = time.perf_counter() - start
    return {"requests": [asdict(each) | {"body": ""} for each in every], "seconds": seconds,
            "health": health.seconds if health else [], "processor": time.process_time() - worked}  # fmt: skip


if __name__ == "__main__":
    json.dump(hold(json.load(sys.stdin)), sys.stdout)
