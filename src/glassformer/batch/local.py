"""The results of lines by a model in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from glassformer.batch.generating import Generating, Idle
from glassformer.batch.identity import identity_of
from glassformer.batch.lines import Line
from glassformer.batch.reading import read_results
from glassformer.batch.results import Result
from glassformer.batch.terms import Terms
from glassformer.generation.scheduler import Limits
from glassformer.generation.serving import Engine, ServingConfig
from glassformer.model import Model


@dataclass(frozen=True)
class Load:
    """How much is done at a time.

    Attributes:
        running: lines that are continued at once.
        cache_bytes: memory for keys and values.
    """

    running: int = 64
    cache_bytes: int = 1 << 30


def results_of(
    load_model: Callable[[], Model], lines: Iterator[Line], begin: Callable[[str], None], terms: Terms, load: Load,
    idle: Idle,
) -> Generator[Result]:  # fmt: skip
    """A result for each line, by a model that is loaded first. begin: told its identity; may raise."""
    model = load_model()
    check_terms(model, terms)
    begin(identity_of(model))
    yield from local_results(model, lines, terms, load, idle)


def check_terms(model: Model, terms: Terms) -> None:
    """Refuse terms that no line of a model can have, with an OptionsError."""
    if terms.task == "generate":
        model.continuation([0], terms.asked)


def never() -> bool:
    """Lines of a file are there."""
    return False


def local_results(
    model: Model, lines: Iterator[Line], terms: Terms, load: Load, idle: Idle = never
) -> Generator[Result]:
    """A result for each line, in the order in which they end.

    idle: whether the next line has not come yet; results do not wait for it then.

    Raises:
        OptionsError: for terms that no line of this model can have.
    """
    check_terms(model, terms)
    if terms.task != "generate":
        yield from read_results(model, lines, terms, idle)
        return
    limits = Limits(running=load.running, waiting=2 * load.running)
    with (
        Engine(model, ServingConfig(limits, load.cache_bytes)) as engine,
        closing(Generating(engine, terms, idle).results(lines)) as results,
    ):
        yield from results
