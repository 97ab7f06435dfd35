"""The results of lines by a Ray cluster: one engine for each node, by Ray Data, whatever becomes of the nodes.

Lines go out in rounds. A round is a data set whose tasks each ask for all processors of a node, so that every node runs
one at a time. A task whose node dies is run again on another; lines whose results got lost nevertheless are part of the
next round. This process alone writes results, and writes no line's twice.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from glassformer.batch.errors import BatchError
from glassformer.batch.lines import Line
from glassformer.batch.local import Load
from glassformer.batch.node import columns_of_lines, done_on_node, results_of_columns
from glassformer.batch.results import Result
from glassformer.batch.terms import Terms
from glassformer.batch.weights import Weights

ROUND_LINES, ROUND_BYTES = 50_000, 128 << 20  # that are out at a time
PARTS = 4  # of a node's share of a round, so that nodes of unequal speed end together
AT_ONCE = 4  # times as many lines in a part as an engine continues at once, at most
TRIES = 3  # rounds without a single result
PAUSE = 2.0  # seconds before another round is tried


@dataclass(frozen=True)
class Cluster:
    """A cluster and what its nodes do.

    Attributes:
        address: of its head, `host:port`, or `auto`.
        weights: the model; where they name no number of threads, an engine has as many as its node has processors.
    """

    address: str
    weights: Weights
    terms: Terms
    load: Load


def check_installed() -> None:
    """Refuse to begin without Ray.

    Raises:
        BatchError: with what to install.
    """
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise BatchError("Ray Data is not installed; run: pip install 'glassformer[ray]', here and on every node")


def results_of(cluster: Cluster, lines: Iterator[Line], begin: Callable[[str], None]) -> Generator[Result]:
    """A result for each line, as they come.

    begin: told the identity of the model before the first result; may raise.

    Raises:
        BatchError: if there is no such cluster, its nodes have different models, or they cannot do it.
    """
    check_installed()
    with connected(cluster.address):
        model = ""
        for result, found in rounds(cluster, lines):
            if not model:
                begin(found)
                model = found
            if found != model:
                raise BatchError("the nodes have different models under one name; give a folder that is alike on all")
            yield result


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to a cluster, or the one that this process has."""
    os.environ.setdefault("RAY_DATA_USAGE_DISABLED", "1")  # else it would report home
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        check_reached(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise BatchError(f"there is no Ray cluster at {address}: {error}; start one with 'ray start --head'") from error
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # where Ray tells of nodes that die
        try:
            yield
        finally:
            ray.shutdown()


def check_reached(address: str) -> None:
    """Refuse an address where nobody listens, which Ray would try for minutes; errors are those of sockets."""
    if address == "auto":
        # As Ray finds it, for which it has no public name: a cluster that is gone may have left its address behind.
        try:
            from ray._private.services import canonicalize_bootstrap_address
        except ImportError:
            return  # it is Ray that will say so, after minutes

        address = os.environ.get("RAY_ADDRESS") or canonicalize_bootstrap_address(address)
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("expected host:port of its head, or auto")
    socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def rounds(cluster: Cluster, lines: Iterator[Line]) -> Iterator[tuple[Result, str]]:
    """Results, each with the identity of its model; lines without one come into the next round."""
    from ray.exceptions import RayError

    out: dict[int, Line] = {}
    failures = 0
    while True:
        out |= next_lines(lines, out)
        if not out:
            return
        came, last = False, "no results came"
        try:
            for result, model in one_round(cluster, list(out.values())):
                if out.pop(result.number, None) is not None:
                    came = True
                    yield result, model
        except RayError as error:
            last = f"{type(error).__name__}: {error}"
        failures = 0 if came else failures + 1
        if failures == TRIES:
            raise BatchError(f"the cluster failed {TRIES} times without a result: {last:.2000}")
        if failures:
            time.sleep(PAUSE)


def next_lines(lines: Iterator[Line], out: dict[int, Line]) -> dict[int, Line]:
    """Lines that go out beside those that are out already."""
    found: dict[int, Line] = {}
    size = sum(len(line.data) for line in out.values())
    for line in islice(lines, ROUND_LINES - len(out) if size < ROUND_BYTES else 0):
        found[line.number] = line
        size += len(line.data)
        if size >= ROUND_BYTES:
            break
    return found


def one_round(cluster: Cluster, lines: list[Line]) -> Iterator[tuple[Result, str]]:
    """Results of some lines, each with the identity of its model."""
    import pyarrow
    import ray

    processors, engines = shares(cluster.address)
    size = max(1, min(-(-len(lines) // (PARTS * engines)), AT_ONCE * cluster.load.running))
    tables = [pyarrow.table(columns_of_lines(lines[start : start + size])) for start in range(0, len(lines), size)]
    weights = replace(cluster.weights, threads=cluster.weights.threads or processors)
    work = partial(done_on_node, weights=weights, terms=cluster.terms, load=cluster.load)
    quieten()
    data = ray.data.from_arrow(tables).map_batches(
        work, batch_size=None, batch_format="pyarrow", num_cpus=processors
    )  # fmt: skip
    for found in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        columns: dict[str, list[Any]] = found.to_pydict()
        problem = next((each for each in columns["problem"] if each), None)
        if problem is not None:
            raise BatchError(f"a node could not do its part: {problem}")
        yield from zip(results_of_columns(columns), columns["model"], strict=True)


def shares(address: str) -> tuple[int, int]:
    """Processors of an engine, those of the smallest node, and how many engines there are.

    Raises:
        BatchError: if there are no processors.
    """
    import ray

    found = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    found = [processors for processors in found if processors]
    if not found:
        raise BatchError(f"the Ray cluster at {address} has no processors; start nodes with 'ray start --address ...'")
    return min(found), sum(processors // min(found) for processors in found)


def quieten() -> None:
    """Keep Ray Data from writing on the terminal."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
