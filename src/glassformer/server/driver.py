"""One thread runs the model, request after request, while the server goes on answering others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from glassformer.server.errors import RequestError

Result = TypeVar("Result")
Gone = Callable[[], Coroutine[Any, Any, None]]
WAITING = 64  # requests that may wait for the model
SUPERSEDED = "a later request has taken the place of this one"


class Driver:
    """Runs jobs one after the other in a thread of its own.

    A job with a slot takes the place of one with the same slot that has not begun: who types fast wants the last only.
    """

    def __init__(self, thread: Executor | None = None) -> None:
        """thread: runs jobs one after the other; None: one is started for them."""
        self.thread = ThreadPoolExecutor(1, "glassformer-inspect") if thread is None else thread
        self.waiting = 0
        self.slots: dict[str, Future[Any]] = {}

    async def run(self, job: Callable[[], Result], slot: str = "", gone: Gone | None = None) -> Result:
        """The result of a job.

        Args:
            slot: what the job takes the place of; empty: of nothing.
            gone: awaits the moment when nobody waits for the result any more; the job is then dropped
                if it has not begun.

        Raises:
            RequestError: where too many wait, or a later job has taken this one's place.
        """
        if self.waiting >= WAITING:
            raise RequestError(f"{WAITING} requests wait for the model already; try again", status=503, code="busy")
        if slot and slot in self.slots:
            self.slots[slot].cancel()
        future = self.thread.submit(job)
        self.waiting += 1
        if slot:
            self.slots[slot] = future
        try:
            return await self.outcome(future, gone)
        finally:
            self.waiting -= 1
            if slot and self.slots.get(slot) is future:
                del self.slots[slot]

    async def outcome(self, future: Future[Result], gone: Gone | None) -> Result:
        """What a job gives once it has run."""
        done = asyncio.wrap_future(future)
        left = None if gone is None else asyncio.create_task(gone())
        waited: list[asyncio.Future[Any]] = [done] if left is None else [done, left]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                future.cancel()
                await asyncio.wait([done])
        except asyncio.CancelledError:  # nobody waits any more: a job that has not begun never will
            done.cancel()
            raise
        finally:
            if left is not None:
                left.cancel()
        if done.cancelled():
            raise RequestError(SUPERSEDED, status=409, code="superseded")
        return done.result()

    def close(self) -> None:
        """Drop what waits, and let the thread end."""
        self.thread.shutdown(wait=False, cancel_futures=True)
