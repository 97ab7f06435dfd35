"""Several continuations that the engine writes at once, read in the server's loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glassformer.generation.asked import Asked
from glassformer.generation.continuation import Generation, Step
from glassformer.server.openai.service import Service

if TYPE_CHECKING:
    from glassformer.generation.live_stream import LiveStream

Arrived = list[tuple[int, Step]]


@dataclass(frozen=True)
class Job:
    """A prompt, as ids, and how it is to be continued."""

    ids: list[int]
    asked: Asked


class Flows:
    """The continuations of one request; leaving the context cancels those that have not ended.

    Raises:
        ServingError: if the engine does not take one of them; the others are cancelled then.
    """

    def __init__(self, service: Service, jobs: Sequence[Job]) -> None:
        self.bell = service.bell()
        self.streams: list[LiveStream] = []
        submit, notify = service.engine.submit, self.bell.ring
        try:
            for job in jobs:
                self.streams.append(submit(job.ids, job.asked, timeout=service.deadline, notify=notify))
        except BaseException:
            self.cancel()
            raise

    def __enter__(self) -> Flows:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Nobody wants the rest."""
        for stream in self.streams:
            if not stream.ended:
                stream.cancel()

    @property
    def ended(self) -> bool:
        """Whether all have come to their end."""
        return all(stream.ended for stream in self.streams)

    def ready(self) -> Arrived:
        """What has arrived: (place of the continuation, step), in order for each."""
        return [(place, step) for place, stream in enumerate(self.streams) for step in stream.ready()]

    async def next(self, seconds: float | None = None) -> Arrived:
        """Some steps, or none if all have ended, or if so many seconds have passed.

        Raises:
            GenerationError: that which one of the continuations ended with.
        """
        while True:
            found = self.ready()
            if found or self.ended or not await self.bell.wait(self.streams, seconds):
                return found

    async def finish(self) -> list[Generation]:
        """Wait for the end of all."""
        while not self.ended:
            await self.next()
        return [stream.result for stream in self.streams]
