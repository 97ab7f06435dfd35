"""What clients do to a server, good and bad: the traffic of benchmarks/soak.py."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
LINES = ("Once upon a time", "The cat sat on", "Lily and Tom went", "One day a little bird", "Ben had a red ball and")
SCHEMA = {
    "type": "object", "properties": {"name": {"enum": ["Lily", "Tom"]}, "age": {"type": "integer"}},
    "required": ["name", "age"], "additionalProperties": False,
}  # fmt: skip
PATIENCE = 60.0  # seconds that an answer may take
REFUSED = (429, 503)  # what a full server answers


@dataclass
class Tally:
    """What came of the traffic.

    Attributes:
        answers: (what was done, status) -> how often; the status is 0 where the client left.
        wrong: what was answered as it should not be, in words.
        samples: (body, text) of some seeded requests, to be compared with the model's own.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    samples: list[tuple[Object, str]] = field(default_factory=list)

    def expect(self, what: str, condition: object, found: object) -> None:
        """Note what is not as it should be."""
        if not condition:
            self.wrong.append(f"{what}: {found!r:.300}")


class Client:
    """One of many, who decides by chance what to do next."""

    def __init__(self, port: int, name: int, tally: Tally) -> None:
        self.port, self.tally, self.draw = port, tally, random.Random(name)

    async def once(self) -> None:
        """Do something."""
        (action,) = self.draw.choices(list(ACTIONS), list(ACTIONS.values()))
        what = action.__name__
        try:
            async with asyncio.timeout(PATIENCE):
                status = await action(self)
        except (OSError, TimeoutError, ValueError, KeyError, IndexError, EOFError) as error:
            self.tally.wrong.append(f"{what}: {type(error).__name__}: {error}")
            status = -1
        self.tally.answers[what, status] += 1

    def text(self, longest: int | None = None) -> Object:
        """A request for a continuation that is repeatable."""
        draw = self.draw
        longest = longest or draw.choice((20, 100, 300))
        head = draw.choice(LINES) if draw.random() < 0.5 else " ".join(draw.choices(LINES, k=draw.randint(1, 20)))
        return {
            "prompt": head, "max_tokens": draw.randint(1, longest), "seed": draw.randrange(1 << 40),
            "temperature": draw.choice((0, 0.5, 1.0, 1.5)), "top_p": draw.choice((0.5, 0.9, 1.0)),
            "top_k": draw.choice((0, 1, 40)), "repetition_penalty": draw.choice((1.0, 1.0, 1.3)),
        }  # fmt: skip

    @asynccontextmanager
    async def connection(
        self, limit: int = 1 << 16
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """To the server; closed without ado."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def ask(self, path: str, body: Object | bytes | None = None, method: str = "POST") -> tuple[int, Any]:
        """One request; status and object, or text where it is none."""
        async with self.connection() as (reader, writer):
            writer.write(request(path, body, method))
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            data = await reader.read()
        status = int(head.split(None, 2)[1])
        found = json.loads(data) if "application/json" in head else data
        return status, found

    async def events(
        self, path: str, body: Object, most: int | None = None, pause: float = 0.0
    ) -> AsyncIterator[Object]:
        """A stream, an event after the other. An answer that is none is a single object with its status.

        most: events after which the client leaves; pause: seconds between two readings.
        """
        async with self.connection(1 << 10 if pause else 1 << 16) as (reader, writer):
            writer.write(request(path, body | {"stream": True}))
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status, count = int(head.split(None, 2)[1]), 0
            if status != 200:
                yield {"status": status}
                return
            while line := await reader.readline():
                if not line.startswith(b"data: "):
                    continue
                if line.strip() == b"data: [DONE]":
                    return
                yield json.loads(line[6:])
                count += 1
                if count == most:
                    return
                await asyncio.sleep(pause)
            raise EOFError("the stream ended without [DONE]")

    def keep(self, body: Object, text: str) -> None:
        """Note a text, one of some."""
        if self.draw.random() < 0.05:
            self.tally.samples.append((body, text))


def request(path: str, body: Object | bytes | None = None, method: str = "POST") -> bytes:
    """The bytes of a request."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def stream(client: Client, pause: float = 0.0) -> int:
    """Read a stream to its end."""
    body, text, reason = client.text(), "", None
    async for found in client.events("/v1/completions", body, pause=pause):
        if "status" in found:
            client.tally.expect("stream", found["status"] in REFUSED, found)
            return int(found["status"])
        choice = found["choices"][0]
        text, reason = text + choice["text"], choice["finish_reason"]
    client.tally.expect("stream", reason in ("stop", "length"), reason)
    client.keep(body, text)
    return 200


async def slow_reader(client: Client) -> int:
    """Read a stream, in no hurry."""
    return await stream(client, pause=0.03)


async def leaver(client: Client) -> int:
    """Leave a stream: before it begins, at its first token, or later."""
    body = client.text() | {"n": client.draw.choice((1, 1, 4))}
    if client.draw.random() < 0.4:
        async with client.connection() as (_, writer):
            writer.write(request("/v1/completions", body | {"stream": client.draw.random() < 0.5}))
            await asyncio.sleep(client.draw.choice((0.0, 0.001, 0.01, 0.05)))
        return 0
    async for found in client.events("/v1/completions", body, most=client.draw.randint(1, 20)):
        if "status" in found:
            return int(found["status"])
    return 0


async def plain(client: Client) -> int:
    """Several texts at once, whole."""
    body = client.text() | {"n": client.draw.choice((1, 2, 3))}
    status, found = await client.ask("/v1/completions", body)
    client.tally.expect("plain", status == 200 or status in REFUSED, found)
    if status == 200:
        client.tally.expect("plain", len(found["choices"]) == body["n"], found)
        for place, choice in enumerate(found["choices"]):
            client.keep(body | {"seed": body["seed"] + place}, choice["text"])
    return status


async def scored(client: Client) -> int:
    """Log-probabilities, of the prompt too."""
    body = client.text() | {"logprobs": client.draw.randint(0, 5), "echo": client.draw.random() < 0.5}
    status, found = await client.ask("/v1/completions", body)
    client.tally.expect("scored", status == 200 or status in REFUSED, found)
    if status == 200:
        lists = found["choices"][0]["logprobs"]
        client.tally.expect("scored", len({len(each) for each in lists.values()}) == 1, lists)
    return status


async def constrained(client: Client) -> int:
    """A text of a form, which has to have it."""
    name, form, holds = client.draw.choice(FORMS)
    status, found = await client.ask("/v1/completions", client.text(60) | {"response_format": form, "max_tokens": 60})
    client.tally.expect(name, status == 200 or status in REFUSED, found)
    if status == 200:
        client.tally.expect(name, holds(found["choices"][0]["text"]), found)
    return status


def is_person(text: str) -> bool:
    """Whether a text is what SCHEMA describes."""
    found = json.loads(text)
    return set(found) == {"name", "age"} and found["name"] in ("Lily", "Tom") and isinstance(found["age"], int)


FORMS: tuple[tuple[str, Object, Callable[[str], object]], ...] = (
    ("choice", {"type": "choice", "choices": ["yes", "no", "perhaps"]}, lambda text: text in ("yes", "no", "perhaps")),
    ("regex", {"type": "regex", "pattern": "[a-c]{3,8}-[0-9]+"}, re.compile("[a-c]{3,8}-[0-9]+").fullmatch),
    ("schema", {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}, is_person),
    ("object", {"type": "json_object"}, lambda text: isinstance(json.loads(text), dict)),
)


async def embedded(client: Client) -> int:
    """Vectors of some texts."""
    lines = client.draw.choices(LINES, k=client.draw.randint(1, 4))
    status, found = await client.ask("/v1/embeddings", {"input": lines})
    client.tally.expect("embedded", status == 200 and len(found["data"]) == len(lines), found)
    return status


async def chat(client: Client) -> int:
    """The next message, whole or as a stream."""
    body = {"messages": [{"role": "user", "content": client.draw.choice(LINES)}], "max_tokens": 30, "logprobs": True}
    if client.draw.random() < 0.5:
        status, found = await client.ask("/v1/chat/completions", body)
        client.tally.expect("chat", status == 200 or status in REFUSED, found)
        return status
    async for event in client.events("/v1/chat/completions", body):
        if "status" in event:
            return int(event["status"])
    return 200


async def inspected(client: Client) -> int:
    """A capture with a change."""
    change = {"kind": "zero", "site": "blocks.0.hook_mlp_out"}
    look = {"capture": ["blocks.*.attn.hook_pattern"], "interventions": [change]}
    status, found = await client.ask("/v1/completions", {"prompt": LINES[0], "max_tokens": 3, "inspect": look})
    client.tally.expect("inspected", status == 200 and found["inspect"]["arrays"], found)
    return status


async def beside(client: Client) -> int:
    """What is asked beside texts."""
    path = client.draw.choice(("/health", "/metrics", "/v1/models", "/", "/inspect/"))
    status, found = await client.ask(path, method="GET")
    client.tally.expect(path, status == 200, found)
    line = client.draw.choice(LINES)
    counted, ids = await client.ask("/tokenize", {"prompt": line})
    _, back = await client.ask("/detokenize", {"tokens": ids["tokens"]})
    client.tally.expect("tokenize", counted == 200 and back["prompt"] == line, back)
    return status


BAD: tuple[tuple[str, Object | bytes, int], ...] = (
    ("/v1/completions", b"{", 400), ("/v1/completions", b"[]", 400), ("/v1/completions", b"\xff\xfe", 400),
    ("/v1/completions", {"prompt": "a", "temperature": 9}, 422),
    ("/v1/completions", {"prompt": "a", "nonsense": 1}, 422),
    ("/v1/completions", {"prompt": ["a"] * 200}, 422), ("/v1/completions", {"prompt": [2048]}, 400),
    ("/v1/completions", {"prompt": "a " * 3000}, 400), ("/v1/completions", {"prompt": "a", "model": "../../etc"}, 404),
    ("/v1/completions", {"prompt": "a", "response_format": {"type": "regex", "pattern": "(a"}}, 400),
    ("/v1/chat/completions", {"messages": []}, 422), ("/v1/nothing", {}, 404),
    ("/v1/embeddings", {"input": 5}, 422), ("/health", {}, 405),
)  # fmt: skip


async def bad(client: Client) -> int:
    """A request that is refused."""
    path, body, wanted = client.draw.choice(BAD)
    status, found = await client.ask(path, body)
    client.tally.expect(f"bad {path} {body!r:.60}", status == wanted, (status, found))
    return status


async def slow_writer(client: Client) -> int:
    """Begin a request, and leave in the middle of it."""
    data = request("/v1/completions", client.text())
    async with client.connection() as (_, writer):
        for byte in data[: client.draw.randint(1, 40)]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)
    return 0


async def crowd(client: Client) -> int:
    """Many at once: some are refused, all are answered."""
    body = client.text(20) | {"n": 8}
    found = await asyncio.gather(*(client.ask("/v1/completions", body) for _ in range(20)))
    statuses = {status for status, _ in found}
    client.tally.expect("crowd", statuses <= {200, *REFUSED}, statuses)
    texts = {tuple(choice["text"] for choice in answer["choices"]) for status, answer in found if status == 200}
    client.tally.expect("crowd", len(texts) <= 1, texts)
    return max(statuses)


ACTIONS: dict[Callable[[Client], Awaitable[int]], float] = {
    stream: 30, slow_reader: 4, leaver: 20, plain: 12, scored: 6, constrained: 6, embedded: 4, chat: 6, inspected: 1,
    beside: 6, bad: 10, slow_writer: 3, crowd: 1,
}  # fmt: skip
