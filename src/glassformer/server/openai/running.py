"""The server's process: listens until a signal ends it, and lets requests under way come to their end."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from glassformer.server.openai.connection import Bounds, bounded

KEEP_ALIVE = 15  # seconds that a connection without a request stays open


def run(
    app: ASGIApp, listener: socket.socket, drain: int, ready: Callable[[], None], bounds: Bounds | None = None
) -> None:
    """Answer requests until SIGTERM, behind which this returns, or Ctrl-C, which ends in KeyboardInterrupt.

    Args:
        drain: seconds that requests under way have left then; no others are taken.
        ready: says that the server is ready, as soon as signals end it as they should.
    """
    gc.collect()
    gc.freeze()  # what is there now stays; to look through it again and again would hold up all streams
    server = server_of(app, drain, bounds or Bounds())

    def leave(number: int, frame: FrameType | None) -> None:
        """Heeds a signal until uvicorn does; and when uvicorn raises it once more, having ended as it was told to."""
        server.should_exit = True

    before = signal.signal(signal.SIGTERM, leave)
    try:
        ready()
        server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def server_of(app: ASGIApp, drain: int, bounds: Bounds) -> uvicorn.Server:
    """The server, which has not begun yet."""
    config = uvicorn.Config(
        app, http=bounded(bounds), loop="asyncio", ws="none", lifespan="on", access_log=False,
        # uvicorn's configuration of logs fails where standard output is closed
        log_config=None, log_level="critical",
        server_header=False, timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=drain,
        h11_max_incomplete_event_size=bounds.head_bytes,
    )  # fmt: skip
    return uvicorn.Server(config)
