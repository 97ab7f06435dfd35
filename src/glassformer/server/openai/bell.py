"""Wakes up those who wait for the engine in the server's loop: all of them at once, as the engine hands out steps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glassformer.generation.live_stream import LiveStream

Waiting = asyncio.Future[bool]
# Seconds between two wakes of those who have begun to read: too short to be seen, and long enough for the tokens of
# two or three quick steps, which then go out together. Sending takes as much of a processor as a small model does.
PAUSE = 0.02


class Bell:
    """Between the engine's thread, which rings, and one loop, in which many wait for streams of theirs.

    A ring costs the engine a call at most, however many streams a step has brought something. Whoever waits for a first
    token is woken at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting: dict[Waiting, Sequence[LiveStream]] = {}
        self.eager = 0  # of those who wait: for a first token
        self.rung = self.called = self.resting = False
        self.turn = threading.Lock()  # of those three

    def ring(self) -> None:
        """Something has arrived somewhere. In the engine's thread."""
        with self.turn:
            self.rung = True
            if self.called or (self.resting and not self.eager):
                return
            self.called = True
        self.loop.call_soon_threadsafe(self.heard)

    def heard(self) -> None:
        """The engine has called."""
        with self.turn:
            self.called = False
        self.wake()

    def rested(self) -> None:
        """The pause is over."""
        with self.turn:
            self.resting = False
            if not self.rung:
                return
        self.wake()

    def wake(self) -> None:
        """Wake up those for whom something has arrived, and begin a pause."""
        with self.turn:
            self.rung = False  # before they look, so that what comes behind their look is not lost
            begins, self.resting = not self.resting, True
        if begins:
            self.loop.call_later(PAUSE, self.rested)
        for future, streams in self.waiting.items():
            if not future.done() and any(stream.arrived for stream in streams):
                future.set_result(True)

    async def wait(self, streams: Sequence[LiveStream], seconds: float | None = None) -> bool:
        """Whether something has arrived in one of the streams before so many seconds have passed."""
        future: Waiting = self.loop.create_future()
        timer = None if seconds is None else self.loop.call_later(seconds, give_up, future)
        self.waiting[future] = streams
        eager = any(not stream.begun for stream in streams)
        self.eager += eager
        try:
            return await future
        finally:
            self.eager -= eager
            del self.waiting[future]
            if timer is not None:
                timer.cancel()


def give_up(future: Waiting) -> None:
    """The time is over."""
    if not future.done():
        future.set_result(False)
