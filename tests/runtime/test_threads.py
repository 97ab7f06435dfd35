"""Worker threads under stress: many leaders, parking, forks, interrupts, ends."""

import _thread
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from glassformer.kernels import launch
from glassformer.kernels.elementwise import CHUNK
from glassformer.runtime import threads as threads_module
from glassformer.runtime.cpus import ThreadsError
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager, claim_share
from glassformer.runtime.memory import aligned
from glassformer.runtime.threads import WorkerPool
from glassformer.simd import Pointer, i64, kernel, pause
from glassformer.simd.kernel import address_of
from glassformer.simd.target import find_target

TASKS = 40


@kernel
def count(tally: Pointer[i64], spin: i64, begin: i64, end: i64) -> None:
    """Add 1 to the place of each task, after some turns of waiting; tasks share no place, so nothing is atomic."""
    for task in range(begin, end):
        for _ in range(spin):
            pause()
        tally[task] = tally[task] + 1


@kernel
def follow(source: Pointer[i64], target: Pointer[i64], begin: i64, end: i64) -> None:
    """target[i] = source[n - 1 - i] + 1, which is right when the launch before is done alone."""
    for task in range(begin, end):
        target[task] = source[TASKS - 1 - task] + 1


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(4, find_target(), pin=False)
    yield made
    made.close()


def launches(pool: WorkerPool, tally: Any, number: int, tasks: int = TASKS, spin: int = 0) -> None:
    """So many launches of `count`, each from a call of its own."""
    loaded = count.specialise().load()
    block = np.frombuffer(loaded.pack([tally, spin]), np.uint8).copy()
    record = np.array([[loaded.address, address_of(block), tasks, claim_share(pool.threads), 0, 0]], np.int64)
    for _ in range(number):
        pool.replay(record)


def parked(pool: WorkerPool) -> list[bool]:
    return [bool(pool.control[launch.PARKED + 8 * thread]) for thread in range(1, pool.threads)]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited too long for {what}"
        time.sleep(0.002)


def workers() -> int:
    return sum(t.name.startswith("glassformer-") for t in threading.enumerate())


def test_each_task_runs_once(pool: WorkerPool) -> None:
    for tasks in (1, 2, 3, 31, 32, 33, 1000, 100_003):
        tally = np.zeros(tasks + 1, np.int64)
        launches(pool, tally, 3, tasks)
        assert (tally[:tasks] == 3).all()
        assert tally[tasks] == 0


def test_ten_thousand_launches_from_several_threads_with_parking(pool: WorkerPool) -> None:
    """Leaders take turns; each finds its own tasks all done at each return."""
    wrong: list[str] = []

    def lead(number: int) -> None:
        tally = np.zeros(TASKS, np.int64)
        for done in range(1, 2001):
            launches(pool, tally, 1)
            if not (tally == done).all():
                wrong.append(f"leader {number}, launch {done}: {tally.tolist()}")
                return
            if done % 500 == 0:
                time.sleep(0.01)  # long enough to be parked

    leaders = [threading.Thread(target=lead, args=(number,)) for number in range(5)]
    for leader in leaders:
        leader.start()
    for leader in leaders:
        leader.join(60)
        assert not leader.is_alive()
    assert wrong == []


def test_workers_take_part(pool: WorkerPool) -> None:
    """Somebody besides the leader runs tasks, which the processor time of the leader and of all shows."""
    tally = np.zeros(TASKS, np.int64)
    before = time.thread_time(), time.process_time()
    launches(pool, tally, 10, spin=10_000)
    leader, everyone = time.thread_time() - before[0], time.process_time() - before[1]
    assert (tally == 10).all()
    assert everyone > 1.2 * leader


def test_workers_park_and_wake(pool: WorkerPool) -> None:
    tally = np.zeros(TASKS, np.int64)
    for round_ in range(1, 20):
        wait_for(lambda: all(parked(pool)), "workers to park")
        launches(pool, tally, 1)
        assert (tally == round_).all()


def test_an_idle_pool_uses_no_processor(pool: WorkerPool) -> None:
    """Wake-ups that piled up while workers were slow to come are dropped, not worked off."""
    launches(pool, np.zeros(TASKS, np.int64), 1)
    for _ in range(3000):
        pool.wake[1].release()
    wait_for(lambda: all(parked(pool)), "workers to park")
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.15
    assert all(parked(pool))


def test_a_closed_pool_ends_its_threads_and_still_computes(pool: WorkerPool) -> None:
    others = workers() - 3
    tally = np.zeros(TASKS, np.int64)
    launches(pool, tally, 1)
    pool.close()
    wait_for(lambda: workers() <= others, "workers to end")
    pool.control[launch.PARKED + 8 : launch.PARKED + 8 * pool.threads] = 0
    launches(pool, tally, 1)  # the leader alone
    assert (tally == 2).all()


@pytest.mark.usefixtures("shared_always")
def test_threads_end_with_their_executor() -> None:
    before = workers()
    for _ in range(20):
        ops = Ops(Eager(3))
        ops.exp(np.zeros(4 * CHUNK))
        assert workers() > before
        del ops
    gc.collect()
    wait_for(lambda: workers() <= before, "workers to end")


def test_small_launches_start_no_thread() -> None:
    before = set(threading.enumerate())
    Ops(Eager(8)).add([1.0], [2.0])
    assert set(threading.enumerate()) <= before  # those of an executor that is gone may end meanwhile


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.usefixtures("shared_always")
def test_a_forked_child_starts_workers_of_its_own() -> None:
    ops, x = Ops(Eager(3)), np.arange(5 * CHUNK)
    expected = ops.exp(x / CHUNK)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(30)
            code = 0 if ops.exp(x / CHUNK).tobytes() == expected.tobytes() and workers() == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ops.exp(x / CHUNK).tobytes() == expected.tobytes()


@pytest.mark.parametrize("turn", range(10))
def test_an_interrupt_waits_until_the_workers_are_done(pool: WorkerPool, turn: int) -> None:
    """Ctrl-C during a launch: no worker writes into the caller's arrays once the exception is out; the pool lives."""
    if turn % 2:
        wait_for(lambda: all(parked(pool)), "workers to park")
    tally = np.zeros(TASKS, np.int64)
    timer = threading.Timer(0.01 + 0.0013 * turn, _thread.interrupt_main)

    def launch_until_interrupted() -> None:
        timer.start()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            launches(pool, tally, 1, spin=1000)

    with pytest.raises(KeyboardInterrupt):
        launch_until_interrupted()
    seen = tally.copy()
    assert len(set(seen.tolist())) == 1, "every launch that began was finished"
    time.sleep(0.005)
    np.testing.assert_array_equal(tally, seen)
    fresh = np.zeros(TASKS, np.int64)
    launches(pool, fresh, 1)
    assert (fresh == 1).all()


def test_an_interrupt_while_workers_are_woken_begins_no_launch(pool: WorkerPool) -> None:
    class Interrupted:
        def release(self) -> None:
            raise KeyboardInterrupt

    wait_for(lambda: all(parked(pool)), "workers to park")
    good, tally = pool.wake, np.zeros(TASKS, np.int64)
    pool.wake = [Interrupted()] * 4  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        launches(pool, tally, 1)
    assert not tally.any()
    pool.wake = good
    launches(pool, tally, 1)
    assert (tally == 1).all()


def interrupt_at(number: int) -> Callable[..., Any]:
    """For `sys.settrace`: an interrupt at the event of that number in whatever `replay` calls."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        seen += frame.f_code is not WorkerPool.replay.__code__
        if seen == number:
            raise KeyboardInterrupt
        return trace

    return trace


def test_an_interrupt_anywhere_on_the_way_to_a_launch_leaves_no_lock_taken() -> None:
    pool = WorkerPool(2, find_target(), pin=False)
    tally = np.zeros(TASKS, np.int64)
    loaded = count.specialise().load()
    block = np.frombuffer(loaded.pack([tally, 0]), np.uint8).copy()
    record = np.array([[loaded.address, address_of(block), TASKS, 2, 0, 0]], np.int64)
    interrupts = 0
    for number in range(1, 1000):
        wait_for(lambda: all(parked(pool)), "workers to park")
        traced = sys.gettrace()
        try:
            sys.settrace(interrupt_at(number))
            pool.replay(record)
            break  # without so many events
        except KeyboardInterrupt:
            interrupts += 1
        finally:
            sys.settrace(traced)
        again = threading.Thread(target=pool.replay, args=(record,), daemon=True)
        again.start()
        again.join(20)
        assert not again.is_alive(), f"no launch comes through behind an interrupt at event {number}"
    assert interrupts > 10
    assert (tally == interrupts + 1).all()
    pool.close()


@pytest.mark.parametrize("before", [2**31 - 4, 2**31 - 2, -2, -4])
def test_the_number_of_a_launch_may_wrap(pool: WorkerPool, before: int) -> None:
    """After 2^30 launches the generation's sign changes, after twice as many it comes back to 0."""
    wait_for(lambda: all(parked(pool)), "workers to park")
    pool.control[launch.WORD] = (before << launch.NEXT_BITS) | launch.CLOSED
    tally = np.zeros(TASKS, np.int64)
    pool.wake, woken = [threading.Semaphore(0)] * 4, pool.wake
    launches(pool, tally, 5)  # the leader alone
    pool.wake = woken
    pool.control[launch.WORD] = (before << launch.NEXT_BITS) | launch.CLOSED
    launches(pool, tally, 5)
    assert (tally == 10).all()


def test_a_list_of_launches_runs_in_order(pool: WorkerPool) -> None:
    """Each record begins when the one before it is done: with and without shared tasks, and with none at all."""
    x, y, z = (np.zeros(TASKS, np.int64) for _ in range(3))
    loaded = follow.specialise().load()
    blocks = [np.frombuffer(loaded.pack(pair), np.uint8).copy() for pair in ([x, y], [y, z], [z, x])]
    chunks = (1, 0, 7)  # 0: the leader alone
    rows = [[loaded.address, address_of(b), TASKS, chunk, 0, 0] for b, chunk in zip(blocks, chunks, strict=True)]
    rows.insert(1, [loaded.address, address_of(blocks[0]), 0, 1, 0, 0])
    for turn in range(1, 301):
        pool.replay(np.array(rows * 3, np.int64))
        assert (x == 9 * turn).all()
    pool.replay(np.zeros((0, launch.RECORD), np.int64))


def test_a_limit_on_threads_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = workers()
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "glassformer-3":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threads_module.threading.Thread, "start", refuse)
    with pytest.raises(ThreadsError, match="started 2 of 7 worker threads; ask for fewer"):
        WorkerPool(8, find_target())
    monkeypatch.undo()
    wait_for(lambda: workers() <= before, "the started ones to end")


def test_an_interrupt_between_two_starts_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    before = workers()
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "glassformer-2":
            raise KeyboardInterrupt

    monkeypatch.setattr(threads_module.threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        WorkerPool(8, find_target())
    monkeypatch.undo()
    wait_for(lambda: workers() <= before, "the started ones to end")


def test_a_process_ends_quietly_while_workers_spin() -> None:
    program = "import numpy as np\nfrom glassformer import ops\nops.matmul(np.ones((300, 300)), np.ones((300, 300)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GLASSFORMER_THREADS": "3"}
    command = [sys.executable, "-c", program]
    for _ in range(3):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


FIRST_USE = """
import threading
import numpy as np
from glassformer import ops
x = np.random.default_rng(1).standard_normal((70, 70)).astype(np.float32)
expected, results, start = None, [], threading.Barrier(8)
def first():
    start.wait()
    made = ops.matmul(x, x), ops.softmax(x), ops.add(x, x[0]), ops.gelu(x)
    results.append(b"".join(array.tobytes() for array in made))
threads = [threading.Thread(target=first) for _ in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
assert len(results) == 8 and len(set(results)) == 1
"""


def test_the_first_use_may_come_from_many_threads_at_once(tmp_path: Path) -> None:
    """With an empty kernel cache, so that all of them find nothing compiled."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GLASSFORMER_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", FIRST_USE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("size", [0, 1, 63, 1000])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8, np.float16])
def test_aligned(size: int, dtype: Any) -> None:
    array = aligned(size, dtype)
    assert address_of(array) % 64 == 0 or size == 0
    assert (array.shape, array.dtype) == ((size,), dtype)
    assert not array.any()


def test_workers_stay_while_a_list_is_under_way() -> None:
    """A launch that the leader does alone, for longer than workers wait, does not cost them the launches behind it."""
    timed = WorkerPool(2, find_target(), pin=False, timed=True)
    tally = np.zeros(TASKS, np.int64)
    loaded = count.specialise().load()
    blocks = [
        np.frombuffer(loaded.pack([tally, spin]), np.uint8).copy() for spin in (100 * threads_module.SPINS, 20_000)
    ]
    alone, shared = ([loaded.address, address_of(block)] for block in blocks)
    timed.replay(np.array([[*alone, 1, 0, 0, 0], [*shared, TASKS, TASKS, 0, 0]], np.int64))
    times = timed.control[launch.control_size(2) :].reshape(2, launch.TIMED, launch.TIMES)
    assert times[0, 0, launch.WORKED] > 0
    assert times[1, 0, launch.WORKED] == 0
    assert times[1, 1, launch.WORKED] > 0, "the worker was lost"
    assert tally.tolist() == [2] + [1] * (TASKS - 1)
    timed.close()


def test_workers_park_after_a_list_that_failed_to_start(pool: WorkerPool) -> None:
    with pytest.raises(Exception, match="cannot take"):
        pool.replay("no records")  # type: ignore[arg-type]
    assert pool.control[launch.ACTIVE] == 0
    wait_for(lambda: all(parked(pool)), "workers to park")
