"""What a node of a cluster does with some lines: the same as one machine alone, with the model that it loaded once."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import cache
from typing import Any

from glassformer.batch.identity import identity_of
from glassformer.batch.lines import Line
from glassformer.batch.local import Load, local_results
from glassformer.batch.results import Result
from glassformer.batch.terms import Terms
from glassformer.batch.weights import Weights
from glassformer.model import Model
from glassformer.model import load as load_model
from glassformer.runtime.cpus import PIN_VARIABLE, affinity

Columns = dict[str, list[Any]]


@cache
def loaded(weights: Weights) -> tuple[Model, str]:
    """The model and its identity, kept as long as this process: the next lines do not wait for it."""
    if (weights.threads or 0) < len(affinity()):  # the node's other processors may have an engine of their own
        os.environ.setdefault(PIN_VARIABLE, "0")
    model = load_model(weights.path, dtype=weights.dtype, threads=weights.threads, cache_dtype=weights.cache_dtype)
    return model, identity_of(model)


def done_on_node(table: Any, *, weights: Weights, terms: Terms, load: Load) -> Columns:
    """The results of lines, an Arrow table with the columns of `columns_of_lines`, as columns.

    What keeps the node from doing any line is told in `problem`.
    """
    lines = lines_of_columns(table.to_pydict())
    try:
        model, identity = loaded(weights)
        return columns_of_results(list(local_results(model, iter(lines), terms, load)), identity)
    except Exception as error:
        return problem(f"{socket.gethostname()}: {type(error).__name__}: {error}")


def columns_of_lines(lines: list[Line]) -> Columns:
    """Lines as columns, as they travel to a node."""
    return {name: [getattr(line, name) for line in lines] for name in ("number", "data", "digest", "too_long")}


def lines_of_columns(columns: Mapping[str, list[Any]]) -> list[Line]:
    """The way back."""
    return [Line(*row) for row in zip(*columns.values(), strict=True)]


def columns_of_results(results: list[Result], identity: str) -> Columns:
    """Results as columns, as they travel back. identity: of the model that made them."""
    names = ("number", "failed", "prompt_tokens", "tokens", "data")
    found: Columns = {name: [getattr(result, name) for result in results] for name in names}
    return found | {"model": [identity] * len(results), "problem": [""] * len(results)}


def problem(message: str) -> Columns:
    """Columns of what is no result, but the end of all."""
    return {"number": [0], "failed": [True], "prompt_tokens": [0], "tokens": [0], "data": [b""], "model": [""],
            "problem": [message]}  # fmt: skip


def results_of_columns(columns: Mapping[str, list[Any]]) -> list[Result]:
    """The way back."""
    names = ("number", "failed", "prompt_tokens", "tokens", "data")
    return [Result(*row) for row in zip(*(columns[name] for name in names), strict=True)]
