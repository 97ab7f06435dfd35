"""From start to end of the command: ports, streams that are closed, signals at any moment, workers that are killed."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")
pytest.importorskip("uvicorn", reason="needs the extra serve")

from server_process import everything, request, serving, status_of

from glassformer.server.openai import running
from glassformer.server.openai.connection import Bounds

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
COMMAND = [sys.executable, "-m", "glassformer", "serve", "--json"]
HEALTH = b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n"
TEXT = request("/v1/completions", {"prompt": "Once", "max_tokens": 50}, "connection: close")


def free(port: int) -> bool:
    """Whether a port can be had."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return listener.connect_ex(("127.0.0.1", port)) != 0 and not listener.close()


def below(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("needs Linux's list of children")
    found = [int(word) for word in children.read_text().split()]
    return [*found, *(each for child in found for each in below(child))]


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    """Whether no process of these runs any more, soon."""
    end = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_a_second_server_on_a_port_says_so_and_the_first_goes_on() -> None:
    with serving() as server:
        found = subprocess.run([*COMMAND, "--port", str(server.port)], capture_output=True, text=True)
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr.count("\n") == 1
        assert f"port {server.port}: Address already in use; choose another --port" in found.stderr
        assert status_of(everything(server.connect(HEALTH))) == 200
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert free(server.port)


@pytest.mark.slow
def test_addresses_of_the_sixth_version_and_closed_streams() -> None:
    """Nothing can be read, and nobody reads."""
    with socket.socket(socket.AF_INET6) as taken:
        try:
            taken.bind(("::1", 0))
        except OSError:
            pytest.skip("needs IPv6")
        port = taken.getsockname()[1]
    command = " ".join(["exec", *COMMAND, "--host", "::1", "--port", str(port), "<&- >&- 2>&-"])
    with subprocess.Popen(["sh", "-c", command]) as process:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket(socket.AF_INET6) as connection:
                if connection.connect_ex(("::1", port)) == 0:
                    connection.sendall(HEALTH.replace(b"localhost", b"[::1]:%d" % port))
                    assert status_of(connection.recv(1000)) == 200
                    break
            time.sleep(0.02)
        process.terminate()
        assert process.wait(10) == 0


def test_the_log_holds_nothing_that_steers_a_terminal() -> None:
    with serving() as server:
        for path in (b"/%1b%5b2J%0d%0aforged%20200%201%20B", b"/%e2%80%ae%c2%9b31m", b"/" + b"%00" * 500):
            everything(server.connect(b"GET " + path + b" HTTP/1.0\r\nhost: localhost\r\n\r\n"))
        for client in (b"\x9b31m", b"1.2.3.4 GET /forged 200 1 B", b"x" * 5000):
            head = b"GET /health HTTP/1.0\r\nhost: localhost\r\nx-forwarded-for: " + client
            everything(server.connect(head + b"\r\n\r\n"))
        for data in (b"\x1b]0;title\x07 / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nhost: \x1b[31m\r\n\r\n"):
            everything(server.connect(data))
        server.process.terminate()
        assert server.process.wait(10) == 0
        lines = server.said().splitlines()
    assert len(lines) == 7, lines
    assert all(line.isascii() and line.isprintable() and line.count(" ") == 9 for line in lines), lines
    assert max(map(len, lines)) < 1000


@pytest.mark.slow
def test_a_log_that_nobody_reads_holds_up_nobody() -> None:
    """Its pipe is soon full."""
    command = [*COMMAND, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        line = b"GET /" + b"%00" * 200 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            for _ in range(4):
                connection.sendall(line * 30)  # 100 KB of log in all
                while data := connection.recv(1 << 16):
                    if data.endswith(b"}") and not select.select([connection], [], [], 0.05)[0]:
                        break
            connection.sendall(HEALTH)
            assert status_of(connection.recv(1000)) == 200
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize("seconds", [0.15, pytest.param(0.4, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("number", "codes"), [(signal.SIGTERM, (-15, 0)), (signal.SIGINT, (130,))])
def test_signals_while_it_starts(number: int, codes: tuple[int, ...], seconds: float) -> None:
    with subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(seconds)
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert process.returncode in codes
    assert err == b""


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.02, 0.03])
def test_a_signal_behind_the_address_ends_the_server_well(seconds: float) -> None:
    with subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.terminate()
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_a_signal_before_the_server_listens_for_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    server = running.server_of(lambda *_: None, 1, Bounds())  # type: ignore[arg-type, return-value]

    def listen(sockets: list[socket.socket]) -> None:
        assert said == ["ready"]
        signal.raise_signal(signal.SIGTERM)
        assert server.should_exit

    monkeypatch.setattr(running, "server_of", lambda *_: server)
    monkeypatch.setattr(server, "run", listen)
    with socket.socket() as listener:
        running.run(lambda *_: None, listener, 1, lambda: said.append("ready"))  # type: ignore[arg-type, return-value]


@pytest.mark.slow
def test_a_worker_that_is_killed_under_load_takes_its_own_requests_with_it_and_no_others() -> None:
    with serving("--workers", "2", "--drain", "5") as server:
        stop, answers = threading.Event(), list[int]()

        def ask() -> None:
            while not stop.is_set():
                answers.append(status_of(everything(server.connect(TEXT))))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        before = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in below(server.process.pid)}
        workers = [pid for pid, command in before.items() if b"resource_tracker" not in command]
        os.kill(workers[0], signal.SIGKILL)
        time.sleep(3)
        stop.set()
        for thread in threads:
            thread.join()
        assert answers.count(0) <= 6
        assert answers.count(200) + answers.count(0) == len(answers) > 50
        assert 0 not in answers[-20:]
        left = below(server.process.pid)
        assert len(left) == 3
        server.process.terminate()
        assert server.process.wait(15) == 0
        assert gone(left)
        assert free(server.port)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_the_one_that_watches_over_it(number: int) -> None:
    with serving("--workers", "2", "--drain", "2") as server:
        left = below(server.process.pid)
        server.process.send_signal(number)
        server.process.wait(15)
        assert gone(left)
        assert free(server.port)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_workers_that_are_stopped_while_they_start(seconds: float) -> None:
    command = [*COMMAND, "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(seconds)
        left = below(process.pid)
        process.terminate()
        _, err = process.communicate(timeout=15)
    assert process.returncode in (0, -15)
    assert err == b""
    assert gone(left)
