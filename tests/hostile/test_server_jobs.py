"""What is computed between the engine's steps: for nobody who has left, and within the time of a request."""

import json
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")
pytest.importorskip("httpx", reason="sends what the official client would not")
sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

import httpx
from openai_server import running, soon

import glassformer

SCORED = {"max_tokens": 0, "echo": True, "logprobs": 1}
LOOKED = {"max_tokens": 2, "inspect": {"capture": ["hook_embed"]}}


@pytest.fixture(scope="module")
def story():
    return glassformer.load()


@contextmanager
def standing(server):
    """Let the engine stand still within the block."""
    gate, stands = threading.Event(), threading.Event()
    server.engine.call(lambda: (stands.set(), gate.wait(10)))
    assert stands.wait(5)
    try:
        yield
    finally:
        gate.set()


@pytest.mark.parametrize(("path", "value"), [
    ("/v1/embeddings", {"input": [7] * 400}),
    ("/v1/completions", SCORED | {"prompt": [[7] * 400] * 3}),
])  # fmt: skip
def test_nothing_is_computed_for_clients_that_have_left(story, path, value):
    data, computed = json.dumps(value).encode(), []
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with running(story) as server:
        with standing(server):
            call = server.engine.call
            server.engine.call = lambda job: call(lambda: (computed.append(path), job())[1])
            several = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(20)]
            for connection in several:
                connection.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data)
            driver = server.service.driver
            assert soon(lambda: driver.waiting == 20)
            for connection in several:
                connection.close()
            assert soon(lambda: driver.waiting == 0)
        assert call(lambda: "next").result(5) == "next"
        assert not computed


@pytest.mark.parametrize(("path", "value"), [
    ("/v1/embeddings", {"input": "Once"}),
    ("/v1/completions", SCORED | {"prompt": "Once upon a time"}),
    ("/v1/completions", LOOKED | {"prompt": "Once"}),
    ("/v1/chat/completions", LOOKED | {"messages": [{"role": "user", "content": "Once"}]}),
])  # fmt: skip
def test_the_time_of_a_request_is_limited(story, path, value):
    with running(story, deadline=0.1) as server, httpx.Client(base_url=server.url) as plain:
        with standing(server):
            late = plain.post(path, json=value)
        assert (late.status_code, late.json()["error"]["code"]) == (503, "deadline")
        assert "retry-after" in late.headers
