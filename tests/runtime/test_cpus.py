"""How many threads: affinity, control groups of both versions, the environment variable."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from glassformer.errors import GlassformerError
from glassformer.kernels.launch import RECORD
from glassformer.runtime import cpus
from glassformer.runtime.cpus import ThreadsError
from glassformer.runtime.executor import Eager
from glassformer.runtime.threads import WorkerPool
from glassformer.simd.target import find_target

NO_LAUNCH = np.zeros((0, RECORD), np.int64)


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A root of control groups with a group /a/b in it, of which this process is a member."""
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "membership").write_text("0::/a/b\n")
    return tmp_path / "root"


def granted(group: Path) -> float:
    return cpus.quota(group, group.parent / "membership")


@pytest.mark.parametrize(("text", "expected"), [
    ("200000 100000\n", 2.0), ("150000 100000", 1.5), ("max 100000\n", math.inf), ("50000 100000", 0.5), ("", math.inf),
    ("100000 0", math.inf), ("nonsense", math.inf), ("1 2 3", math.inf), ("-1 100000", math.inf), ("\xb2", math.inf),
])  # fmt: skip
def test_version_2(group: Path, text: str, expected: float) -> None:
    (group / "a" / "b" / "cpu.max").write_text(text, encoding="latin1")
    assert granted(group) == expected


def test_the_tightest_of_the_parents_counts(group: Path) -> None:
    assert granted(group) == math.inf
    (group / "cpu.max").write_text("800000 100000")
    assert granted(group) == 8
    (group / "a" / "cpu.max").write_text("300000 100000")
    (group / "a" / "b" / "cpu.max").write_text("max 100000")
    assert granted(group) == 3
    (group.parent / "cpu.max").write_text("100000 100000")  # outside the root
    assert granted(group) == 3


@pytest.mark.parametrize(("quota", "period", "expected"), [
    ("400000", "100000", 4.0), ("-1", "100000", math.inf), ("100000", "0", math.inf), ("", "100000", math.inf),
    ("1", "", math.inf),
])  # fmt: skip
def test_version_1(group: Path, quota: str, period: str, expected: float) -> None:
    own = group / "cpu" / "docker" / "x"
    for folder in (group / "cpu", own):  # a container often sees its own group as the root
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.cfs_quota_us").write_text(quota)
        (folder / "cpu.cfs_period_us").write_text(period)
        (group.parent / "membership").write_text("3:cpu,cpuacct:/docker/x\n2:cpuset:/other\n0::/\n")
        assert granted(group) == expected
        (folder / "cpu.cfs_quota_us").write_text("-1")


def test_no_control_groups(tmp_path: Path) -> None:
    assert cpus.quota(tmp_path / "none", tmp_path / "missing") == math.inf
    (tmp_path / "membership").write_bytes(b"\xff\xfe nonsense\n:::\n\n")
    assert cpus.quota(tmp_path, tmp_path / "membership") == math.inf


@pytest.mark.parametrize(("processors", "granted", "expected"), [
    (8, math.inf, 8), (8, 2.0, 2), (8, 1.5, 2), (2, 16.0, 2), (1, 0.1, 1), (4, 0.0, 1), (5000, math.inf, 1024),
])  # fmt: skip
def test_default(monkeypatch: pytest.MonkeyPatch, processors: int, granted: float, expected: int) -> None:
    monkeypatch.delenv(cpus.THREADS_VARIABLE, raising=False)
    monkeypatch.setattr(cpus, "affinity", lambda: list(range(processors)))
    monkeypatch.setattr(cpus, "quota", lambda: granted)
    assert cpus.default_threads() == expected
    assert Eager().threads == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cpus.THREADS_VARIABLE, raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {max(before)})
        assert cpus.affinity() == [max(before)]
        assert Eager().threads == 1
    finally:
        os.sched_setaffinity(0, before)


def test_systems_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpus.affinity() == [0, 1, 2, 3, 4, 5]
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus.affinity() == [0]


@pytest.mark.parametrize(("text", "expected"), [("3", 3), (" 5\n", 5), ("1", 1), ("1024", 1024)])
def test_environment_variable(monkeypatch: pytest.MonkeyPatch, text: str, expected: int) -> None:
    monkeypatch.setenv(cpus.THREADS_VARIABLE, text)
    assert Eager().threads == expected
    assert Eager(2).threads == 2, "an argument goes before it"


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "1025", "9" * 5000, "\xb2", "0x2"])
def test_wrong_environment_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(cpus.THREADS_VARIABLE, text)
    with pytest.raises(ThreadsError, match="GLASSFORMER_THREADS must be a whole number from 1 to 1024, found"):
        Eager()


@pytest.mark.parametrize("threads", [0, -1, True, False, 10**9, 1025, 1.0, 2.5, "2", [2], float("nan")])
def test_wrong_threads(threads: object) -> None:
    with pytest.raises(ThreadsError, match="threads must be a whole number from 1 to 1024, found"):
        Eager(threads)  # type: ignore[arg-type]
    assert issubclass(ThreadsError, GlassformerError)


def test_pinning_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLASSFORMER_PIN", raising=False)
    assert cpus.pinning()
    monkeypatch.setenv("GLASSFORMER_PIN", "0")
    assert not cpus.pinning()


@pytest.mark.skipif(len(cpus.affinity()) < 2, reason="one processor has no other beside it")
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system keeps no thread on a processor")
def test_a_worker_makes_way_for_a_leader_that_came_to_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = cpus.affinity()[:2]
    pool = WorkerPool(2, find_target())
    (worker,) = pool.seats.workers.values()
    for here, there in ((first, second), (second, first), (second, first), (-1, first), (first, second)):
        monkeypatch.setattr(cpus, "current_processor", lambda here=here: here)
        pool.replay(NO_LAUNCH)
        assert os.sched_getaffinity(worker) == {there}
        assert sorted(os.sched_getaffinity(0)) == cpus.affinity(), "the leader is the caller's to place"
    pool.close()


def test_workers_that_are_not_kept_stay_free() -> None:
    pool = WorkerPool(2, find_target(), pin=False)
    pool.replay(NO_LAUNCH)
    assert not pool.seats.workers
    pool.close()


def test_the_calling_threads_processor_is_one_that_it_may_run_on() -> None:
    assert cpus.current_processor() in [-1, *cpus.affinity()]
