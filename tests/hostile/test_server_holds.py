"""Whatever clients do: the server answers the next one at once, with the memory, threads and files that it had."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from server_process import ServerProcess, everything, request, serving, status_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")

LONG = {"prompt": "Once upon a time", "max_tokens": 500, "ignore_eos": True, "stream": True}
PROMPT = [7, 8, 9] * 165
ANSWERED: list[dict[str, object]] = [
    {}, {"echo": True, "logprobs": 5}, {"inspect": {"capture": ["hook_embed"]}}, {"n": 8},
]  # fmt: skip
SLACK = 8 << 20  # bytes by which memory may grow: the allocator's pools


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serving("--max-batch", "8", "--queue", "300", "--kv-memory", "8") as found:
        use_all(found)
        yield found


def use_all(server: ServerProcess) -> None:
    """Memory that is used for the first time comes once: for passes over many rows, and for long answers.

    Clients that leave may do so before their request gets there, so here all wait for their answers.
    """
    body = LONG | {"stream": False}
    several: list[tuple[str, dict[str, object]]] = [("/v1/completions", body | more) for more in ANSWERED]
    several += [("/v1/completions", body | {"prompt": [[n, *PROMPT] for n in range(8)], "max_tokens": 10})]
    several += [("/v1/embeddings", {"input": [PROMPT] * 8})]
    for path, value in several:
        assert server.post(path, value)[0] == 200


@pytest.fixture(scope="module")
def most_threads(server: ServerProcess) -> int:
    """Those that the first request needs, and asyncio's for what would hold up its loop, which come one by one."""
    assert server.post("/v1/completions", {"prompt": "Once", "max_tokens": 2})[0] == 200
    return server.held().threads + min(32, (os.cpu_count() or 1) + 4)


def leave(server: ServerProcess, count: int, value: object, *, read: int = 0) -> None:
    """So many clients ask at once, and all are gone once the first have read something."""
    several = [server.connect(request("/v1/completions", value)) for _ in range(count)]
    for each in several[:4]:
        if read:
            each.recv(read)
    for each in several:
        each.close()


def queued(server: ServerProcess) -> None:
    """The last of them never had a turn."""
    leave(server, 40, LONG, read=100)


def reading(server: ServerProcess) -> None:
    """Long prompts, each of its own."""
    several = [server.connect(request("/v1/completions", LONG | {"prompt": [n, *PROMPT]})) for n in range(30)]
    for each in several:
        each.close()


def writing(server: ServerProcess) -> None:
    """Two hundred at once, choices included."""
    leave(server, 50, LONG | {"n": 4}, read=2000)


def whole(server: ServerProcess) -> None:
    """Answers that nobody waits for."""
    body = LONG | {"stream": False}
    for more in ANSWERED:
        leave(server, 5, body | more)
        server.connect(request("/v1/embeddings", {"input": [PROMPT] * 8})).close()


def not_reading(server: ServerProcess) -> None:
    """Readers that read nothing, and then leave."""
    look = {"capture": ["hook_logits", "blocks.*.mlp.hook_post"]}
    body = {"prompt": PROMPT, "max_tokens": 2, "inspect": look}
    several = [server.connect(request("/v1/completions", body), 4096) for _ in range(2)]
    time.sleep(0.1)
    for each in several:
        each.close()


def not_writing(server: ServerProcess) -> None:
    """Writers that stop anywhere in their requests."""
    data = request("/v1/completions", LONG)
    several = [server.connect(data[:place]) for place in range(0, len(data), 3)]
    for each in several:
        each.close()


def giants(server: ServerProcess) -> None:
    """Heads and bodies beyond their limits, announced and not."""
    assert status_of(everything(server.connect(b"GET /health HTTP/1.1\r\nx: " + b"a" * (1 << 20)))) == 400
    assert server.post("/tokenize", b"{" + b" " * (5 << 20))[0] == 413
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    head = b"POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    connection = server.connect(head + b"transfer-encoding: chunked\r\n\r\n" + chunk * 6)
    assert status_of(connection.recv(100)) == 413
    connection.close()
    text = json.dumps({"prompt": "a" * (4_000_000)})
    for path, expected in (("/tokenize", 422), ("/v1/completions", 400), ("/v1/embeddings", 422)):
        assert server.post(path, text.encode())[0] == expected
    for path, body in (
        ("/v1/completions", {"prompt": [7] * 200_000}),
        ("/v1/embeddings", {"input": ["a" * 30_000] * 120}),
    ):
        assert server.post(path, body)[0] == 400


def nonsense(server: ServerProcess) -> None:
    """Bodies that are no JSON, and fields out of range."""
    for data in (b"{", b"[" * 100_000, b"\xff" * 1000, b'{"a": ' + b"1" * 100_000 + b"}"):
        assert server.post("/v1/completions", data)[0] == 400
    for value in ({"prompt": {}}, {"n": 10**30}, {"logit_bias": {str(n): 0 for n in range(5000)}}, {"x" * 9999: 1}):
        assert server.post("/v1/completions", {"prompt": "a"} | value)[0] == 422


def names(server: ServerProcess) -> None:
    """Paths and addresses where names belong."""
    for name in ("../../etc/passwd", "http://127.0.0.1:1/x", "file:///dev/zero", "a" * 50_000):
        status, answer = server.post("/v1/completions", {"model": name, "prompt": "a"})
        assert (status, answer["error"]["code"]) == (404, "model_not_found")


def overflow(server: ServerProcess) -> None:
    """More than the queue holds."""
    several = [server.connect(request("/v1/completions", LONG | {"n": 100})) for _ in range(3)]
    while server.numbers()["glassformer_engine_waiting"] < 250:
        time.sleep(0.01)
    data = everything(server.connect(request("/v1/completions", LONG | {"n": 100}, "connection: close")))
    assert status_of(data) == 429
    assert b"retry-after: 1\r\n" in data
    for each in several:
        each.close()


constraints = iter(range(10**6))


def forms(server: ServerProcess) -> None:
    """Patterns and schemas, each of its own, of which few are kept; and some that are refused."""
    for _ in range(16):
        pattern = f"[a-z ]{{3,9}}{next(constraints)}[x-z]{{2,40}}"
        body = {"prompt": "a", "max_tokens": 8, "response_format": {"type": "regex", "pattern": pattern}}
        assert server.post("/v1/completions", body)[0] == 200
    for pattern in ("(a|b)*a(a|b){20}", "((a{100}){100}){100}", "("):
        body = {"prompt": "a", "response_format": {"type": "regex", "pattern": pattern}}
        assert server.post("/v1/completions", body)[0] == 400


def costly_forms(server: ServerProcess) -> None:
    """Schemas that take as much as they may: others are answered in between, and who leaves is forgotten."""
    parts = [{"type": "string", "pattern": f"^(a|b)*a(a|b){{9}}c{place}$"} for place in range(80)]
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"anyOf": parts}}}
    several = [server.connect(request("/v1/completions", {"prompt": "a", "response_format": form})) for _ in range(30)]
    start = time.monotonic()
    assert server.post("/v1/completions", {"prompt": "Once", "max_tokens": 2})[0] == 200
    assert time.monotonic() - start < 1
    for each in several:
        each.close()


EVIL: list[Callable[[ServerProcess], None]] = [
    queued, reading, writing, whole, not_reading, not_writing, nonsense, names, overflow,
]  # fmt: skip
SLOW = [giants, forms, costly_forms]


@pytest.mark.parametrize(("evil", "times"), [
    *((evil, 2) for evil in EVIL), *(pytest.param(evil, 12, marks=pytest.mark.slow) for evil in (*EVIL, *SLOW)),
], ids=lambda each: getattr(each, "__name__", f"{each} times"))  # fmt: skip
def test_nothing_stays_behind(
    server: ServerProcess, evil: Callable[[ServerProcess], None], most_threads: int, times: int
) -> None:
    for _ in range(times // 2):
        evil(server)
        assert server.idle()
    before, slack = server.held(), SLACK * (1 if times < 5 else 2)
    for _ in range(times):
        evil(server)
        assert server.idle()
    start = time.monotonic()
    status, answer = server.post("/v1/completions", {"prompt": "Once", "max_tokens": 2})
    assert time.monotonic() - start < 1
    assert (status, answer["usage"]["completion_tokens"]) == (200, 2)
    deadline = time.monotonic() + 3  # answers that nobody waits for are still made
    while time.monotonic() < deadline:
        after = server.held()
        if after.files <= before.files and after.memory < before.memory + slack:
            break
        time.sleep(0.01)
    assert after.files <= before.files
    assert after.threads <= most_threads
    assert after.memory < before.memory + slack
    numbers = {name.removeprefix("glassformer_engine_"): value for name, value in server.numbers().items()}
    assert numbers["free_blocks"] + numbers["prefix_blocks"] == numbers["blocks"]


def test_sigterm_under_load_ends_well(server: ServerProcess) -> None:
    """The last test of this server."""
    several = [server.connect(request("/v1/completions", LONG | {"max_tokens": 60})) for _ in range(12)]
    assert several[0].recv(10)
    server.process.send_signal(signal.SIGTERM)
    assert all(everything(each).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") for each in several)
    assert server.process.wait(10) == 0
    assert "Traceback" not in server.said()
