"""Speaks ASGI to an application directly, well-behaved or not: no server, no sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt

Message = dict[str, Any]
TEXT = "Once upon a time there was a little girl named Ivy. One day,"
OTHER = "Once upon a time there was a little girl named Freya. One day,"
END = {"type": "http.disconnect"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, whose shape is checked."""
        found: dict[str, Any] = self.json["error"]
        assert set(found) == {"message", "type", "param", "code"}
        assert len(found["message"]) > 10
        return found

    @property
    def array(self) -> npt.NDArray[np.float32]:
        """The array of a binary answer."""
        assert self.headers["content-type"] == "application/octet-stream"
        shape = [int(size) for size in self.headers["x-shape"].split(",") if size]
        return np.frombuffer(self.body, "<f4").reshape(shape)


class Client:
    """Sends one request after the other to an application."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def get(self, path: str, **query: Any) -> Answer:
        """GET, with the query."""
        return self.request("GET", path, query=urlencode(query))

    def post(self, path: str, body: Any) -> Answer:
        """POST an object as JSON."""
        data = json.dumps(body).encode()
        return self.request("POST", path, data, headers=[("content-type", "application/json")])

    def request(
        self, method: str, path: str, *parts: bytes | Message, query: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """Any request; a body in parts, or messages of ASGI instead of them."""
        return asyncio.run(self.exchange(method, path, *parts, query=query, headers=headers))

    async def exchange(
        self, method: str, path: str, *parts: bytes | Message, query: str = "", headers: Sequence[tuple[str, str]] = (),
        before_end: float | None = None,
    ) -> Answer:  # fmt: skip
        """The same within a loop; before_end: seconds until the client is gone, None: it stays."""
        names = {name for name, _ in headers}
        all_headers = [*headers, *([] if "host" in names else [("host", "127.0.0.1:8000")])]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query.encode(),
            "headers": [(name.encode("latin1"), value.encode("latin1")) for name, value in all_headers],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "state": {},
        }  # fmt: skip
        bodies = [p if isinstance(p, dict) else {"type": "http.request", "body": p, "more_body": True} for p in parts]
        if not any(isinstance(part, dict) for part in parts):
            bodies.append({"type": "http.request", "body": b"", "more_body": False})
        sent: list[Message] = []
        forever = asyncio.Event()

        async def receive() -> Message:
            if bodies:
                return bodies.pop(0)
            if before_end is None:
                await forever.wait()
            await asyncio.sleep(before_end or 0)
            return END

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = next(message for message in sent if message["type"] == "http.response.start")
        body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
        return Answer(start["status"], {k.decode(): v.decode("latin1") for k, v in start["headers"]}, body)
