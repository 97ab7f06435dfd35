"""The command as a process of its own, and what it holds: memory, threads and file descriptors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

# Lets glibc give memory back when it is freed, so that what is resident is what is used.
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "2"}


@dataclass(frozen=True)
class Held:
    """What a process holds.

    Attributes:
        memory: bytes that are resident.
    """

    memory: int
    threads: int
    files: int


@dataclass(frozen=True)
class ServerProcess:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: IO[bytes]

    def held(self) -> Held:
        """What it holds now. Linux alone tells."""
        place = Path(f"/proc/{self.process.pid}")
        memory = int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return Held(memory, len([*(place / "task").iterdir()]), len([*(place / "fd").iterdir()]))

    def said(self) -> str:
        """What it wrote to standard error so far."""
        self.log.seek(0)
        return self.log.read().decode()

    def connect(self, data: bytes = b"", read_buffer: int | None = None) -> socket.socket:
        """A connection on which something was sent."""
        found = socket.socket()
        if read_buffer is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
        found.settimeout(10)
        try:
            found.connect(("127.0.0.1", self.port))
            found.sendall(data)
        except OSError:
            found.close()
            raise
        return found

    def post(self, path: str, value: Any, *headers: str) -> tuple[int, Any]:
        """Status and parsed answer of a request on a connection of its own."""
        with self.connect(request(path, value, *headers)) as connection, HTTPResponse(connection) as answer:
            answer.begin()
            return answer.status, json.loads(answer.read())

    def numbers(self) -> dict[str, float]:
        """What `/metrics` says."""
        data = everything(self.connect(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n")).decode()
        lines = [line.rpartition(" ") for line in data.partition("\r\n\r\n")[2].splitlines() if line[0] != "#"]
        return {name: float(value) for name, _, value in lines}

    def idle(self, seconds: float = 5.0) -> bool:
        """Whether nobody is written for any more, soon."""
        end = time.monotonic() + seconds
        while any(self.numbers()[f"glassformer_engine_{name}"] for name in ("running", "waiting")):
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True


@contextmanager
def serving(*arguments: str) -> Iterator[ServerProcess]:
    """`glassformer serve` with some arguments."""
    command = [sys.executable, "-m", "glassformer", "serve", "--port", "0", "--json", *arguments]
    with (
        TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=os.environ | GIVEN_BACK) as process,
    ):
        try:
            assert process.stdout is not None
            yield ServerProcess(process, json.loads(process.stdout.readline())["port"], log)
        finally:
            process.kill()


def request(path: str, value: Any, *headers: str) -> bytes:
    """A POST as bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json",
             f"content-length: {len(data)}", *headers]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def everything(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    parts = []
    with connection:
        try:
            while part := connection.recv(1 << 16):
                parts.append(part)
        except ConnectionResetError:
            pass
    return b"".join(parts)


def status_of(answer: bytes) -> int:
    """The status of an answer; 0 where there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
