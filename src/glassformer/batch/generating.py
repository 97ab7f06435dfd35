"""Lines continued by an engine, as many at a time as it takes; results come as they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from glassformer.batch.lines import Line
from glassformer.batch.request import LineRequest, name_in, object_in, read_request
from glassformer.batch.results import Object, Result, failure, generation
from glassformer.batch.terms import Terms
from glassformer.errors import GlassformerError
from glassformer.generation.live_stream import LiveStream
from glassformer.generation.serving import Engine

LOOK = 0.05  # seconds after which the next line is looked for again
PAUSE = 0.01  # seconds in which tokens gather before anybody looks at them: only ends matter here

Idle = Callable[[], bool]


@dataclass(eq=False)
class Flight:
    """A line that the engine continues."""

    line: Line
    request: LineRequest
    stream: LiveStream


class Generating:
    """Keeps an engine supplied with lines.

    At most `room` of them are under way, so that memory does not grow with the input.
    """

    def __init__(self, engine: Engine, terms: Terms, idle: Idle) -> None:
        """idle: whether the next line has not come yet."""
        self.engine, self.terms, self.idle = engine, terms, idle
        limits = engine.config.limits
        self.room = limits.running + min(limits.running, limits.waiting)
        self.arrived = threading.Event()
        self.flights: list[Flight] = []

    def results(self, lines: Iterator[Line]) -> Generator[Result]:
        """A result for each line, in the order in which they end; who stops reading cancels those under way."""
        try:
            more = True
            while more or self.flights:
                while more and len(self.flights) < self.room and not (self.flights and self.idle()):
                    line = next(lines, None)
                    more = line is not None
                    refused = None if line is None else self.start(line)
                    if refused is not None:
                        yield refused
                yield from self.ended(LOOK if more and len(self.flights) < self.room else None)
        finally:
            for flight in self.flights:
                flight.stream.cancel()

    def start(self, line: Line) -> Result | None:
        """Hand a line to the engine; if it cannot be continued, what is wrong with it."""
        named: Object = {}
        try:
            values = object_in(line, self.terms.task)
            named = name_in(values)
            request = read_request(values, named, line.number, self.terms)
            stream = self.engine.submit(request.text, request.asked, notify=self.arrived.set)
        except GlassformerError as error:
            return failure(line, error, named)
        self.flights.append(Flight(line, request, stream))
        return None

    def ended(self, timeout: float | None) -> Iterator[Result]:
        """Wait for something to come, for so many seconds, and give the results of the lines that have ended."""
        if not self.flights:
            return
        self.arrived.wait(timeout)
        self.arrived.clear()
        under_way = []
        for flight in self.flights:
            result = self.look(flight)
            if result is None:
                under_way.append(flight)
            else:
                yield result
        self.flights = under_way
        if under_way:
            time.sleep(PAUSE)

    def look(self, flight: Flight) -> Result | None:
        """The result of a line, if it has ended."""
        try:
            flight.stream.ready()
            if not flight.stream.ended:
                return None
            done = flight.stream.result
        except GlassformerError as error:
            return failure(flight.line, error, flight.request.named)
        return generation(flight.line, flight.request.named, self.engine.model, done, flight.request.asked.logprobs > 0)
