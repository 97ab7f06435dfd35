"""The servers that are measured, each in a process of its own."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START = 60.0  # seconds that a server may take to answer first
Object = dict[str, Any]
Way = Object  # how tokens are chosen, in fields that all servers know


class AbsentError(Exception):
    """A server that is not installed, or that does not start; the message says why."""


@dataclass(frozen=True)
class Room:
    """What a server is to have room for: texts at once, and tokens of each."""

    texts: int
    tokens: int


@dataclass(frozen=True)
class Kind:
    """A server.

    Attributes:
        command: the arguments that start it on a port, for a model's folder, with so many threads and room.
        health: an address that answers without the model.
        extra: further fields of a request.
    """

    name: str
    command: Callable[[Path, int, int, Room], list[str]]
    health: str
    extra: Object


def own(folder: Path, port: int, threads: int, room: Room) -> list[str]:
    """glassformer serve."""
    return [sys.executable, "-m", "glassformer", "serve", str(folder), "--dtype", "q8", "--threads", str(threads),
            "--port", str(port), "--max-batch", str(max(64, room.texts)), "--queue", "1024",
            "--log-format", "none"]  # fmt: skip


def llama_python(folder: Path, port: int, threads: int, room: Room) -> list[str]:
    """llama-cpp-python's server, from the Python that has what it needs."""
    python = os.environ.get("LLAMA_CPP_PYTHON", sys.executable)
    probe = "import llama_cpp.server.app"
    if python == sys.executable and importlib.util.find_spec("llama_cpp") is None:
        raise AbsentError("llama-cpp-python is not installed")
    done = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AbsentError(f"{done.stderr.strip().splitlines()[-1]}; pip install 'llama-cpp-python[server]'")
    return [python, "-m", "llama_cpp.server", "--model", str(folder / "model-q8_0.gguf"), "--port", str(port),
            "--n_threads", str(threads), "--n_threads_batch", str(threads), "--n_ctx", str(room.tokens),
            "--logits_all", "false", "--interrupt_requests", "false", "--verbose", "false"]  # fmt: skip


def llama_server(folder: Path, port: int, threads: int, room: Room) -> list[str]:
    """llama.cpp's own server, a slot for each text."""
    program = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    if not program:
        raise AbsentError("llama-server is not on the path; LLAMA_SERVER may name it")
    return [program, "--model", str(folder / "model-q8_0.gguf"), "--port", str(port), "--threads", str(threads),
            "--threads-batch", str(threads), "--parallel", str(room.texts), "--ctx-size", str(room.texts * room.tokens),
            "--cache-ram", "0", "--no-ui", "--log-disable"]  # fmt: skip


SERVERS = {
    kind.name: kind
    for kind in (
        Kind("glassformer serve", own, "/health", {"ignore_eos": True}),
        Kind("llama_cpp.server", llama_python, "/v1/models", {"repeat_penalty": 1.0}),
        Kind("llama-server", llama_server, "/health", {"ignore_eos": True, "repeat_penalty": 1.0}),
    )
}


class Server:
    """A process that answers; also a context manager, which ends it."""

    def __init__(self, kind: Kind, folder: Path, threads: int, room: Room) -> None:
        self.kind, self.port = kind, free_port()
        command = kind.command(folder, self.port, threads, room)
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + START
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise AbsentError(f"{kind.name} does not answer; try: {' '.join(command)}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it is ready."""
        try:
            return self.request("GET", "/v1/models")[0] == 200
        except OSError:
            return False

    def request(self, method: str, path: str, body: Object | None = None) -> tuple[int, Any]:
        """One request and its answer's status and object."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json"} if data else {})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def prompt_tokens(self, prompt: str) -> int:
        """How many tokens the server reads of a prompt."""
        status, found = self.request("POST", "/v1/completions", {"prompt": prompt, "max_tokens": 1})
        if status != 200:
            raise AbsentError(f"{self.kind.name} answers {status}: {found}")
        return int(found["usage"]["prompt_tokens"])

    def body(self, prompt: str, new: int, way: Way, seed: int) -> str:
        """A request for a stream of so many new tokens."""
        wanted = {"prompt": prompt, "max_tokens": new, "stream": True, "seed": seed}
        return json.dumps(wanted | way | self.kind.extra)

    def processor(self) -> float:
        """Seconds that the process has worked; 0 where the system does not tell."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text(encoding="utf8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
