"""What the endpoints share."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING

from glassformer.server.driver import Driver
from glassformer.server.openai.bell import Bell
from glassformer.server.openai.beside import EngineThread
from glassformer.server.openai.counters import Counters

if TYPE_CHECKING:
    from glassformer.generation.serving import Engine
    from glassformer.model import Model
    from glassformer.server.openai.templates import ChatTemplate


@dataclass(eq=False)
class Service:
    """A model that is served.

    Attributes:
        name: what clients call the model.
        engine: continues texts, many at a time.
        template: how a conversation is written; None: the model has no way of its own.
        deadline: seconds that a request may take; None: as many as it needs.
        keep_alive: seconds without a token after which a stream sends a comment.
        created: when the server started, in seconds since 1970.
        counters: what was asked so far.
        looking: held by the one request that captures, since arrays are large.
        bells: of the loops in which requests are answered.
        driver: runs between the engine's steps what needs no batch: embeddings, scores of prompts, captures.
        forms: compiles constraints, one after the other in a thread of its own: somebody may send many costly ones.
    """

    model: Model
    name: str
    engine: Engine
    template: ChatTemplate | None = None
    deadline: float | None = None
    keep_alive: float = 10.0
    created: int = field(default_factory=lambda: int(time()))
    counters: Counters = field(default_factory=Counters)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    bells: dict[asyncio.AbstractEventLoop, Bell] = field(default_factory=dict)
    driver: Driver = field(init=False)
    forms: Driver = field(init=False)

    def __post_init__(self) -> None:
        self.driver = Driver(EngineThread(self.engine))
        self.forms = Driver(ThreadPoolExecutor(1, "glassformer-forms"))

    def bell(self) -> Bell:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self.bells:
            self.bells = {each: bell for each, bell in self.bells.items() if not each.is_closed()} | {loop: Bell(loop)}
        return self.bells[loop]
