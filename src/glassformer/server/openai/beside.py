"""Jobs that run in the engine's thread between two of its steps, so that one thread drives the model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from glassformer.generation.serving import Engine

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class EngineThread(Executor):
    """The engine's thread as an executor; the engine ends it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def submit(
        self, job: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Run a job between two steps."""
        return self.engine.call(partial(job, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: the thread is the engine's."""
