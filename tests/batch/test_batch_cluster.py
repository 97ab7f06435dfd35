"""Lines done by a Ray cluster: the bytes of one machine alone, whatever becomes of the nodes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_cases import lines_of, results_of, several_lines, written_by_one

from glassformer.batch.cluster import Cluster, next_lines
from glassformer.batch.cluster import results_of as cluster_results
from glassformer.batch.errors import BatchError
from glassformer.batch.lines import Line
from glassformer.batch.local import Load
from glassformer.batch.node import columns_of_lines, done_on_node, lines_of_columns, results_of_columns
from glassformer.batch.results import Result
from glassformer.batch.terms import Terms
from glassformer.batch.weights import Weights
from glassformer.generation.asked import Asked

COUNT = 160
TERMS = Terms(asked=Asked(max_new_tokens=120, temperature=0.9, ignore_eos=True), seed=7)
FLAGS = ("-n", "120", "--temperature", "0.9", "--ignore-eos", "--seed", "7", "--max-batch", "4")


class Table:
    """As Arrow tables are."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns

    def to_pydict(self) -> dict[str, list[Any]]:
        return self.columns


def line(number: int, size: int = 1) -> Line:
    return Line(number, b"x" * size, "0" * 16)


def test_lines_travel_as_columns():
    lines = [line(3), Line(4, b"", "f" * 16, too_long=True)]
    assert lines_of_columns(columns_of_lines(lines)) == lines


def test_a_node_does_what_one_machine_does(story):
    lines = [Line(number, json.dumps(each).encode(), "0" * 16) for number, each in enumerate(several_lines(6), 1)]
    terms = Terms(asked=Asked(max_new_tokens=5))
    table = Table(columns_of_lines(lines))
    columns = done_on_node(table, weights=Weights(threads=1), terms=terms, load=Load(running=2))
    found = sorted(json.loads(result.data)["ids"] for result in results_of_columns(columns))
    alone = results_of(story, b"\n".join(each.data for each in lines), terms)
    assert found == sorted(each["ids"] for each in alone)
    assert set(columns["problem"]) == {""}


def test_what_keeps_a_node_from_working_is_told():
    columns = done_on_node(Table(columns_of_lines([line(1)])), weights=Weights("./missing"), terms=TERMS, load=Load())
    assert len(columns["problem"]) == 1
    assert "missing" in columns["problem"][0]


def test_a_round_is_bounded_by_lines_and_bytes(monkeypatch):
    monkeypatch.setattr("glassformer.batch.cluster.ROUND_LINES", 5)
    monkeypatch.setattr("glassformer.batch.cluster.ROUND_BYTES", 100)
    lines = iter([line(n, 10) for n in range(1, 10)] + [line(n, 60) for n in range(10, 20)])
    lost = {99: line(99)}
    assert list(next_lines(lines, lost)) == [1, 2, 3, 4]
    assert list(next_lines(lines, {})) == [5, 6, 7, 8, 9]
    assert list(next_lines(lines, {})) == [10, 11]
    assert list(next_lines(lines, {1: line(1, 100)})) == []
    assert list(next_lines(lines, {})) == [12, 13]


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("glassformer.batch.cluster.find_spec", lambda name: None)
    wanted = Cluster("auto", Weights(), TERMS, Load())
    with pytest.raises(BatchError, match=r"pip install 'glassformer\[ray\]'"):
        next(cluster_results(wanted, iter([line(1)]), lambda model: None))


def faked(monkeypatch, begin: Callable[[str], None], *rounds: list[tuple[int, str]] | Exception) -> Any:
    """What a cluster gives whose rounds give such results, each a line's number and a model."""
    left = list(rounds)

    def one_round(cluster: Cluster, lines: list[Line]) -> Iterator[tuple[Result, str]]:
        given = left.pop(0)
        if isinstance(given, Exception):
            raise given
        yield from ((Result(number, False, 1, 1, b"%d" % number), model) for number, model in given)

    fake = types.ModuleType("ray.exceptions")
    fake.RayError = ConnectionError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray.exceptions", fake)
    monkeypatch.setattr("glassformer.batch.cluster.one_round", one_round)
    monkeypatch.setattr("glassformer.batch.cluster.connected", lambda address: contextlib.nullcontext())
    monkeypatch.setattr("glassformer.batch.cluster.check_installed", lambda: None)
    monkeypatch.setattr("glassformer.batch.cluster.PAUSE", 0)
    return cluster_results(Cluster("auto", Weights(), TERMS, Load()), iter([line(n) for n in range(1, 6)]), begin)


def test_what_a_round_lost_comes_in_the_next_and_nothing_twice(monkeypatch):
    told: list[str] = []
    rounds = ([(2, "a"), (2, "a"), (4, "a")], ConnectionError("gone"), [(1, "a"), (4, "a")], [(5, "a"), (3, "a")])
    assert [each.number for each in faked(monkeypatch, told.append, *rounds)] == [2, 4, 1, 5, 3]
    assert told == ["a"]


def test_a_cluster_that_gives_nothing_is_given_up(monkeypatch):
    with pytest.raises(BatchError, match="failed 3 times without a result: ConnectionError: gone"):
        list(faked(monkeypatch, str, [(1, "a")], ConnectionError("gone"), [], ConnectionError("gone")))


def test_nodes_with_different_models_end_the_run(monkeypatch):
    found = faked(monkeypatch, str, [(1, "a"), (2, "b"), (3, "a")])
    assert next(found).number == 1
    with pytest.raises(BatchError, match="the nodes have different models"):
        next(found)


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A cluster of two nodes on this machine, with a processor each; a death is noticed within two seconds."""
    pytest.importorskip("ray", reason="Ray is not installed (extra ray)")
    checks = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, in the processes that it starts
        from ray.cluster_utils import Cluster as RayCluster

        cluster = RayCluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": checks})
        try:
            cluster.second = cluster.add_node(num_cpus=1)
            yield cluster
        finally:
            cluster.shutdown()


def start(source: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-m", "glassformer", "batch", str(source), "-o", str(output), *FLAGS)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command, *more], **pipes)


def finish(process: subprocess.Popen[bytes]) -> bytes:
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, b""), err.decode()
    return err


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def written(path: Path) -> list[bytes]:
    return sorted(path.read_bytes().splitlines(keepends=True))


@pytest.mark.ray
def test_a_node_that_dies_half_way_loses_nothing_and_repeats_nothing(story, nodes, tmp_path):
    source, output = tmp_path / "prompts.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(lines_of(*several_lines(COUNT)))
    process = start(source, output, "--ray", nodes.address)
    while process.poll() is None and lines_in(output) < COUNT // 4:
        time.sleep(0.01)
    before = lines_in(output)
    nodes.remove_node(nodes.second, allow_graceful=False)  # with SIGKILL
    said = finish(process).decode()
    assert before < COUNT * 3 // 4
    assert said.startswith(f"[{COUNT} lines · ")
    assert said.count("\n") == 1, said
    wanted = written_by_one(story, source.read_bytes(), TERMS)
    assert len(wanted) == COUNT
    assert written(output) == wanted
    for way in (("--ray", nodes.address), ()):  # goes on with a cluster, and without
        data = output.read_bytes()
        output.write_bytes(data[: len(data) * 2 // 3])  # as if this process had been killed
        assert b"lines (" in finish(start(source, output, *way))
        assert written(output) == wanted


@pytest.mark.ray
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("local", "expected host:port"),
        ("auto", "Connection refused"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_clear_error(tmp_path, monkeypatch, address, message):
    pytest.importorskip("ray", reason="Ray is not installed (extra ray)")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    (tmp_path / "p.jsonl").write_bytes(b'{"prompt": "a"}\n')
    command = [
        sys.executable,
        "-m",
        "glassformer",
        "batch",
        tmp_path / "p.jsonl",
        "-o",
        tmp_path / "o",
        "--ray",
        address,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"glassformer: there is no Ray cluster at {address}: " in done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
