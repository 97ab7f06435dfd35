"""Atomics, the barrier and calls through addresses, with real threads: compiled code runs without Python's lock."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_source import import_text

from glassformer.simd.kernel import Variant
from glassformer.simd.reference import MODE_VARIABLE
from glassformer.simd.target import TARGETS, runnable_targets

TEXT = """
@kernel
def count(p: Pointer[{t}], rounds: i64) -> None:
    for i in range(rounds):
        atomic_add(p, 1)


@kernel
def locked(lock: Pointer[{t}], total: Pointer[i64], rounds: i64) -> None:
    for i in range(rounds):
        while compare_exchange(lock, 0, 1) != 0:
            pause()
        total[0] = total[0] + 1
        atomic_store(lock, 0)


@kernel
def rounds_in_step(arrivals: Pointer[i64], cells: Pointer[i64], me: i64, threads: i64, rounds: i64) -> i64:
    for i in range(rounds):
        cells[me] = i + 1
        barrier(arrivals, threads)
        for other in range(threads):
            if cells[other] != i + 1:
                return i + 1
        barrier(arrivals, threads)
    return 0


@kernel
def span(x: Pointer[i64], step: i64, begin: i64, end: i64) -> i64:
    for i in range(begin, end):
        x[i] += step
    return end - begin


@kernel
def caller(address: i64, block: i64, tasks: i64) -> i64:
    done = i64(0)
    for i in range(tasks):
        done += call_entry(address, block, i, i + 1)
    return done
"""


def together(*jobs: Callable[[], Any]) -> None:
    """Run jobs on threads that begin at one time, and end."""
    start = threading.Barrier(len(jobs))
    failed: list[BaseException] = []

    def run(job: Callable[[], Any]) -> None:
        try:
            start.wait(30)
            job()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a kernel hangs"
    assert not failed


@pytest.mark.parametrize("kind", ["i32", "u32", "i64", "u64"])
def test_no_step_of_two_threads_is_lost(kind: str, tmp_path: Path) -> None:
    module = import_text(tmp_path, TEXT.format(t=kind))
    cell, total = np.zeros(1, f"{kind[0]}{int(kind[1:]) // 8}"), np.zeros(1, np.int64)
    work: Variant = module.count.specialise()
    work(cell, 0)
    together(*[lambda: work(cell, 100_000)] * 2)
    assert cell[0] == 200_000
    cell[:] = 0
    guarded: Variant = module.locked.specialise()
    guarded(cell, total, 0)
    together(*[lambda: guarded(cell, total, 1_000)] * 2)
    assert (cell[0], total[0]) == (0, 2_000)


@pytest.mark.parametrize("target", runnable_targets())
def test_nobody_passes_the_barrier_early(target: str, tmp_path: Path) -> None:
    step: Variant = import_text(tmp_path, TEXT.format(t="i64")).rounds_in_step.specialise()
    arrivals, cells, level = np.zeros(1, np.int64), np.zeros(2, np.int64), TARGETS[target]
    assert step(arrivals, cells, 0, 1, 3, target=level) == 0
    arrivals[:] = 0
    results: list[Any] = [None, None]

    def share(me: int) -> None:
        results[me] = step(arrivals, cells, me, 2, 40, target=level)

    together(lambda: share(0), lambda: share(1))
    assert results == [0, 0]
    assert arrivals[0] == 160


@pytest.mark.parametrize("target", runnable_targets())
def test_a_kernel_runs_another_by_its_address(target: str, tmp_path: Path) -> None:
    module = import_text(tmp_path, TEXT.format(t="i64"))
    x = np.zeros(10, np.int64)
    loaded = module.span.specialise().load(TARGETS[target])
    block = loaded.pack((x, 5))
    address = ctypes.cast(block, ctypes.c_void_p).value
    assert module.caller.specialise()(loaded.address, address, 7, target=TARGETS[target]) == 7
    assert x.tolist() == [5] * 7 + [0] * 3


def test_atomics_and_the_barrier_in_reference_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE_VARIABLE, "reference")
    module = import_text(tmp_path, TEXT.format(t="i32"))
    cell, total, arrivals = np.zeros(1, np.int32), np.zeros(1, np.int64), np.zeros(1, np.int64)
    module.count(cell, 5)
    assert cell[0] == 5
    cell[0] = 0
    module.locked(cell, total, 3)
    assert total[0] == 3
    assert module.rounds_in_step(arrivals, np.zeros(1, np.int64), 0, 1, 4) == 0
    assert arrivals[0] == 8


def test_threads_may_build_one_kernel_at_once(tmp_path: Path) -> None:
    for _ in range(3):
        module = import_text(tmp_path, TEXT.format(t="i64"))
        cell = np.zeros(1, np.int64)
        together(*[lambda m=module, c=cell: m.count(c, 10)] * 4)
        assert cell[0] == 40
