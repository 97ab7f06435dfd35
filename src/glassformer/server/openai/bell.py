"""Wakes up those who wait for the engine in the server's loop: all of them at once, as the engine hands out a step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glassformer.generation.live_stream import LiveStream

Waiting = asyncio.Future[bool]


class Bell:
    """Between the engine's thread, which rings, and one loop, in which many wait for streams of theirs.

    A ring costs the engine one call, however many streams a step has brought something.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting: dict[Waiting, Sequence[LiveStream]] = {}
        self.rung = False

    def ring(self) -> None:
        """Something has arrived somewhere. In the engine's thread."""
        if not self.rung:
            self.rung = True
            self.loop.call_soon_threadsafe(self.heard)

    def heard(self) -> None:
        """Wake up those for whom something has."""
        self.rung = False  # before they look, so that what comes behind their look rings again
        for future, streams in self.waiting.items():
            if not future.done() and any(stream.arrived for stream in streams):
                future.set_result(True)

    async def wait(self, streams: Sequence[LiveStream], seconds: float | None = None) -> bool:
        """Whether something has arrived in one of the streams before so many seconds have passed."""
        future: Waiting = self.loop.create_future()
        timer = None if seconds is None else self.loop.call_later(seconds, give_up, future)
        self.waiting[future] = streams
        try:
            return await future
        finally:
            del self.waiting[future]
            if timer is not None:
                timer.cancel()


def give_up(future: Waiting) -> None:
    """The time is over."""
    if not future.done():
        future.set_result(False)
