"""A server on a port of its own within the test's process, over a model that tests hold in their hands."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from glassformer.generation.scheduler import Limits
from glassformer.generation.serving import Engine, ServingConfig
from glassformer.model import Model
from glassformer.server.openai.app import Doors, serving_app
from glassformer.server.openai.connection import Bounds
from glassformer.server.openai.running import server_of
from glassformer.server.openai.service import Service
from glassformer.server.openai.templates import ChatTemplate

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message.role | upper }}: {{ message.content | trim }}\n"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    port: int
    service: Service
    engine: Engine

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str = "none") -> Any:
        """The official client, which is told not to try again: errors are what tests look at."""
        from openai import OpenAI

        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=30)

    def idle(self, seconds: float = 2.0) -> bool:
        """Whether the engine has nothing to do, soon."""
        return soon(lambda: self.engine.metrics().running == self.engine.metrics().waiting == 0, seconds)


def soon(condition: Callable[[], bool], seconds: float = 2.0) -> bool:
    """Whether something comes true within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def listening_socket() -> socket.socket:
    """A socket as the command makes it."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)


@contextmanager
def running(
    model: Model, *, limits: Limits | None = None, doors: Doors | None = None, bounds: Bounds | None = None,
    deadline: float | None = None, keep_alive: float = 10.0, template: bool = True,
) -> Iterator[Running]:  # fmt: skip
    """A server over a model."""
    names = {"bos_token": "<|endoftext|>"}
    with Engine(model, ServingConfig(limits or Limits(), 64 << 20)) as engine, listening_socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        service = Service(model, "story", engine, ChatTemplate(TEMPLATE, names) if template else None, deadline,
                          keep_alive)  # fmt: skip
        server = server_of(serving_app(service, doors), 5, bounds or Bounds())
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert soon(lambda: server.started, 10)
            yield Running(listener.getsockname()[1], service, engine)
        finally:
            server.should_exit = True
            thread.join(20)
