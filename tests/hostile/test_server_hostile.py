"""The server against clients that nobody would wish for: each is bounded, and the next one is answered at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra serve")
pytest.importorskip("httpx", reason="sends what the official client would not")
sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

import httpx
from openai_server import running, soon
from server_process import everything

import glassformer
from glassformer.generation.scheduler import Limits
from glassformer.server import body
from glassformer.server.openai.connection import Bounds

LIMITS = Limits(running=4, waiting=8)
BOUNDS = Bounds(head_seconds=0.4, stalled_seconds=0.4, connections=64, head_bytes=16 << 10)
LONG = {"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True, "stream": True}
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture(scope="module")
def server():
    with running(glassformer.load(), limits=LIMITS, bounds=BOUNDS) as found:
        yield found


@pytest.fixture(scope="module")
def plain(server):
    with httpx.Client(base_url=server.url, timeout=20) as found:
        yield found


def held():
    """Threads and file descriptors of this process, which is the server's; asyncio's pool is small, and stays."""
    files = Path("/proc/self/fd")
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return len(threads), len(list(files.iterdir())) if files.is_dir() else 0


@pytest.fixture(autouse=True)
def lives(server, plain):
    """Whatever a test does: the next request is answered within a second, and nothing stays behind."""
    ask(plain)
    before = held()
    yield
    assert server.idle(), "a slot is still taken"
    start = time.monotonic()
    ask(plain)
    assert time.monotonic() - start < 1
    threads, files = before
    assert soon(lambda: held()[0] <= threads + 1 and held()[1] <= files + 1), (before, held())
    metrics = server.engine.metrics()
    assert metrics.free_blocks + metrics.prefix_blocks == metrics.blocks


def ask(plain):
    answer = plain.post("/v1/completions", json={"prompt": "Once", "max_tokens": 2})
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] == 2


def request(path, value, *headers):
    """A POST as bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json",
             f"content-length: {len(data)}", *headers]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def opened(server, data=b""):
    """A connection on which something was sent."""
    found = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    found.sendall(data)
    return found


def crowd(server, count):
    """Streams that leave while they wait, are read, or are written."""
    connections = [opened(server, request("/v1/completions", LONG | {"prompt": [7] * (1 + 9 * i % 400)}))
                   for i in range(count)]  # fmt: skip
    assert soon(lambda: server.engine.metrics().running > 0)
    for connection in connections[::2]:
        connection.recv(100)
    for connection in connections:
        connection.close()


def test_clients_that_leave_wherever_they_stand(server):
    crowd(server, 12)
    assert server.idle(3)


@pytest.mark.slow
def test_two_hundred_leave_at_once_and_memory_stays():
    """With a server of their own, which lets as many in."""
    with running(glassformer.load(), limits=Limits(16, 256), bounds=Bounds(connections=300)) as server:
        crowd(server, 200)
        assert server.idle(10)
        before = resident()
        for _ in range(10):
            crowd(server, 200)
            assert server.idle(10)
        assert resident() - before < 80 << 20  # 64 of which are memory for keys and values, as it is first used


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_clients_that_leave_before_a_whole_answer(server):
    for value in (LONG | {"stream": False}, LONG | {"stream": False, "inspect": {"capture": ["hook_embed"]}}):
        connection = opened(server, request("/v1/completions", value))
        time.sleep(0.05)
        connection.close()
    assert server.idle()


def test_clients_that_leave_within_their_request(server):
    for data in (b"", b"POST", b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n", request("/x", LONG)[:-5]):
        opened(server, data).close()


def test_a_reader_that_does_not_read_is_let_go(server):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    look = {"capture": ["hook_logits", "blocks.*.mlp.hook_post"]}
    connection.sendall(request("/v1/completions", {"prompt": [5] * 500, "max_tokens": 2, "inspect": look}))
    assert soon(lambda: server.service.counters.open == 1)
    assert soon(lambda: server.service.counters.open == 0, 10)
    time.sleep(BOUNDS.stalled_seconds)
    found = everything(connection)
    assert found.startswith(b"HTTP/1.1 200")
    size = int(found.partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert len(found) < size, "what was sent before is cut off"


HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"


@pytest.mark.parametrize("data", [b"", HEALTH + b"x: "])
def test_writers_that_do_not_write_are_let_go(server, data):
    start = time.monotonic()
    assert everything(opened(server, data)) == b""
    assert 0.2 < time.monotonic() - start < 3


def test_a_writer_that_stops_within_its_second_request_is_let_go(server):
    connection = opened(server, HEALTH + b"\r\n")
    time.sleep(0.1)
    connection.sendall(HEALTH)
    assert everything(connection).count(b"HTTP/1.1 200") == 1


def test_a_body_that_comes_too_slowly(server, monkeypatch):
    monkeypatch.setattr(body, "MOST_SECONDS", 0.1)
    data = everything(opened(server, request("/v1/completions", LONG, "connection: close")[:-5]))
    assert data.startswith(b"HTTP/1.1 408")


def test_giant_heads_and_bodies(server, plain):
    head = everything(opened(server, b"GET /health HTTP/1.1\r\nx: " + b"a" * (1 << 15)))
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(head.partition(b"\r\n\r\n")[2])["error"]["code"] == "http"
    many = everything(opened(server, b"GET /health HTTP/1.1\r\n" + b"a: b\r\n" * 5000))
    assert many.startswith(b"HTTP/1.1 400")
    giant = plain.post("/tokenize", content=b" " * (5 << 20), headers={"content-type": "application/json"})
    assert giant.status_code == 413
    said = b"POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9"
    connection = opened(server, said + b"9" * 15 + b"\r\n\r\n")
    assert b" 413 " in connection.recv(100)
    connection.close()


CHUNKED = b"POST /tokenize HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
NOT_HTTP = [b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100, b"GET  HTTP/9.9\r\n\r\n", CHUNKED,
            b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n"]  # fmt: skip


@pytest.mark.parametrize("data", NOT_HTTP)
def test_what_is_not_http(server, data):
    assert everything(opened(server, data))[:12] in (b"HTTP/1.1 400", b"")


def test_too_many_connections_are_closed_and_those_before_stay(server, plain):
    connections = [opened(server) for _ in range(BOUNDS.connections + 10)]
    assert soon(lambda: any(closed(connection) for connection in connections))
    ask(plain)
    for connection in connections:
        connection.close()


def closed(connection):
    """Whether the server has closed a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_queue_that_is_full(server, plain):
    streams = [opened(server, request("/v1/completions", LONG)) for _ in range(LIMITS.running)]
    assert soon(lambda: server.engine.metrics().running == LIMITS.running)
    more = [opened(server, request("/v1/completions", LONG)) for _ in range(LIMITS.waiting)]
    assert soon(lambda: server.engine.metrics().waiting == LIMITS.waiting)
    full = plain.post("/v1/completions", json=LONG)
    assert (full.status_code, full.json()["error"]["type"]) == (429, "rate_limit_error")
    assert int(full.headers["retry-after"]) >= 1
    assert plain.get("/health").status_code == 200
    several = plain.post("/v1/completions", json=LONG | {"n": 20})
    assert several.status_code == 429
    for connection in (*streams, *more):
        connection.close()


def test_nan_ends_the_request_that_meets_it():
    model = glassformer.load()
    model.network.weights.wpe.data[20] = np.nan
    with running(model) as server, httpx.Client(base_url=server.url) as plain:
        bad = {"prompt": [7] * 30, "max_tokens": 3}
        ask(plain)
        before = held()
        answer = plain.post("/v1/completions", json=bad)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "logits")
        lines = plain.post("/v1/completions", json=bad | {"stream": True}).text.split("\n\n")
        assert json.loads(lines[-2].removeprefix("data: "))["error"]["type"] == "server_error"
        assert plain.post("/v1/embeddings", json={"input": [7] * 30}).status_code == 500
        for more in ({"echo": True, "logprobs": 1}, {"inspect": {"capture": ["hook_embed"]}}):
            assert plain.post("/v1/completions", json=bad | more).status_code == 500, more
        start = time.monotonic()
        ask(plain)
        assert time.monotonic() - start < 1
        assert held()[0] <= before[0] + 1
        assert held()[1] <= before[1] + 1
        metrics = server.engine.metrics()
        assert (metrics.running, metrics.free_blocks + metrics.prefix_blocks) == (0, metrics.blocks)


def test_a_request_whose_time_is_over():
    with running(glassformer.load(), deadline=0.02) as server, httpx.Client(base_url=server.url) as plain:
        late = plain.post("/v1/completions", json=LONG | {"stream": False, "n": 16})
        assert (late.status_code, late.json()["error"]["code"]) == (503, "deadline")
        assert "retry-after" in late.headers
        ask(plain)


def test_comments_keep_a_slow_stream_open():
    with running(glassformer.load(), keep_alive=0.01) as server, httpx.Client(base_url=server.url) as plain:
        gate = threading.Event()
        waiting = server.engine.call(lambda: gate.wait(5))
        with plain.stream("POST", "/v1/completions", json=LONG | {"max_tokens": 2}) as answer:
            parts = answer.iter_text()
            assert next(parts).startswith(": ")
            gate.set()
            assert "".join(parts).endswith("data: [DONE]\n\n")
        assert waiting.result(1)


@pytest.fixture
def process(tmp_path):
    """Starts the command, and gives its process and its address."""
    started = []

    def start(*arguments):
        found = subprocess.Popen(
            [sys.executable, "-m", "glassformer", "serve", "--port", "0", "--json", "--log-format", "json", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(found)
        return found, json.loads(found.stdout.readline())["url"]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def stream(url, value, parts):
    """Read a stream to its end, in a thread."""

    def read():
        try:
            with httpx.stream("POST", f"{url}v1/completions", json=value, timeout=20) as answer:
                parts.extend(answer.iter_text())
        except httpx.HTTPError as error:
            parts.append(repr(error))

    thread = threading.Thread(target=read)
    thread.start()
    return thread


@POSIX
def test_sigterm_lets_streams_come_to_their_end(process):
    server, url = process()
    parts = [[] for _ in range(3)]
    threads = [stream(url, LONG | {"max_tokens": 120}, each) for each in parts]
    assert soon(lambda: all(parts), 10)
    server.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(20)
    assert all("".join(each).endswith("data: [DONE]\n\n") for each in parts)
    _, err = server.communicate(timeout=10)
    assert server.returncode == 0
    assert [json.loads(line)["status"] for line in err.decode().splitlines()] == [200] * 3
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}health")


@POSIX
@pytest.mark.slow
def test_sigterm_does_not_wait_longer_than_it_was_told(process):
    server, url = process("--drain", "1", "--max-batch", "1", "--quiet")
    parts = [[] for _ in range(9)]
    threads = [stream(url, LONG | {"n": 16}, each) for each in parts]
    assert soon(lambda: any(parts), 10)
    start = time.monotonic()
    server.send_signal(signal.SIGTERM)
    server.wait(10)
    assert time.monotonic() - start < 5
    for thread in threads:
        thread.join(10)
    assert server.returncode == 0


@POSIX
@pytest.mark.slow
def test_workers_answer_on_one_port_and_are_replaced(process):
    server, url = process("--workers", "2", "--drain", "5")
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    if not children.exists():
        pytest.skip("needs Linux's list of children")
    before = workers_of(children)
    assert len(before) == 2
    assert [httpx.get(f"{url}health").status_code for _ in range(10)] == [200] * 10
    os.kill(before[0], signal.SIGKILL)
    assert soon(lambda: len(workers_of(children)) == 2 and before[0] not in workers_of(children), 10)
    assert [httpx.get(f"{url}health").status_code for _ in range(10)] == [200] * 10
    parts = [[] for _ in range(4)]
    threads = [stream(url, LONG | {"max_tokens": 120}, each) for each in parts]
    assert soon(lambda: all(parts), 10)
    server.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(20)
    assert all("".join(each).endswith("data: [DONE]\n\n") for each in parts)
    assert server.wait(15) == 0
    assert not any(Path(f"/proc/{child}").exists() for child in before)


def workers_of(children):
    """Process ids of workers: Python's helper of multiprocessing is none."""
    found = [int(word) for word in children.read_text().split()]
    return [pid for pid in found if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
