"""Lines that are read and not continued, some of them in each pass: scores and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from glassformer.batch import results
from glassformer.batch.lines import Line
from glassformer.batch.request import LineRequest, name_in, object_in, read_request
from glassformer.batch.results import Object, Result, failure
from glassformer.batch.terms import Terms
from glassformer.errors import GlassformerError
from glassformer.generation.score import score_all
from glassformer.model import Model

if TYPE_CHECKING:
    from glassformer.introspect.embedding import Pooling

TOKENS, LINES = 512, 64  # that are read together at most; a longer line is read by itself


@dataclass(frozen=True)
class Reading:
    """A line on its way.

    Attributes:
        ids: its tokens.
    """

    line: Line
    request: LineRequest
    ids: list[int]


Group = list[Reading]
Work = Callable[[Model, Group], list[Result]]


def read_results(model: Model, lines: Iterator[Line], terms: Terms, idle: Callable[[], bool]) -> Iterator[Result]:
    """A result for each line. idle: whether the next line has not come yet; it is not waited for then."""
    work: Work = scores if terms.task == "score" else partial(embeddings, pooling=terms.pooling)
    group: Group = []
    for line in lines:
        started = start(model, line, terms)
        if isinstance(started, Result):
            yield started
            continue
        if group and sum(len(each.ids) for each in group) + len(started.ids) > TOKENS:
            yield from read(model, group, work)
            group = []
        group.append(started)
        if len(group) == LINES or idle():
            yield from read(model, group, work)
            group = []
    yield from read(model, group, work)


def start(model: Model, line: Line, terms: Terms) -> Reading | Result:
    """The tokens of a line, or what is wrong with it."""
    named: Object = {}
    try:
        values = object_in(line, terms.task)
        named = name_in(values)
        request = read_request(values, named, line.number, terms)
        return Reading(line, request, model.ids(request.text))
    except GlassformerError as error:
        return failure(line, error, named)


def read(model: Model, group: Group, work: Work) -> Iterator[Result]:
    """The results of some lines that are read together; where that fails, the halves, to see which it was."""
    if not group:
        return
    try:
        found = work(model, group)
    except GlassformerError as error:
        if len(group) == 1:
            yield failure(group[0].line, error, group[0].request.named)
            return
        for half in (group[: len(group) // 2], group[len(group) // 2 :]):
            yield from read(model, half, work)
        return
    yield from found


def scores(model: Model, group: Group) -> list[Result]:
    """How probable each text is."""
    found = score_all(model.network, [each.ids for each in group])
    return [results.score(each.line, each.request.named, score) for each, score in zip(group, found, strict=True)]


def embeddings(model: Model, group: Group, pooling: Pooling) -> list[Result]:
    """Each text as a vector."""
    vectors = model.embed([each.ids for each in group], pooling=pooling)
    return [
        results.embedding(each.line, each.request.named, each.ids, vector)
        for each, vector in zip(group, vectors, strict=True)
    ]
