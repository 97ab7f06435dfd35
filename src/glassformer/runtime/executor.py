"""Where operations go: an operation makes a launch, an executor runs it now or records it into a plan."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glassformer.runtime.cpus import check_threads, default_threads, pinning
from glassformer.runtime.threads import WorkerPool
from glassformer.simd import reference
from glassformer.simd.kernel import Variant
from glassformer.simd.native import give_back
from glassformer.simd.target import Target, find_target

SMALL = 500_000  # elementary steps below which waking other threads costs more than it gains


def claim_share(threads: int, *, reading: bool = False) -> int:
    """A claim takes one part in so many of the tasks that are left: a late thread leaves little behind.

    reading: the tasks do little but read, for which each thread needs a run of memory as long as can be.
    """
    return threads if reading else 4 * threads


@dataclass(frozen=True)
class Cost:
    """What a launch has to compute and to move at least, for whoever measures it."""

    flops: int = 0
    bytes: int = 0
    flops_per_key: int = 0  # attention: for each row and each position that it looks at
    bytes_per_key: int = 0  # attention: for each tile and each position that its last row looks at


@dataclass(frozen=True, eq=False)
class Launch:
    """A compiled kernel, its arguments (arrays and numbers, without the range) and the tasks that threads share."""

    kernel: Variant
    arguments: tuple[Any, ...]
    tasks: int
    work: int  # elementary steps in all, to tell small launches
    cost: Cost = Cost()

    @property
    def least(self) -> Cost:
        """The cost; where it says nothing of bytes, every array is read or written once."""
        if self.cost.bytes:
            return self.cost
        arrays = {id(a): a.nbytes for a in self.arguments if isinstance(a, np.ndarray)}
        return replace(self.cost, bytes=sum(arrays.values()))


class Watch(Protocol):
    """Stands between an executor and its threads for a while, to measure what they do.

    pool: the workers meanwhile, for what is not measured too: two pools would share the processors.
    """

    @property
    def pool(self) -> WorkerPool: ...

    def replay(self, plan: Any, times: int, behind: Any) -> None:
        """Run a plan, and another one behind it, which is not measured, so many times."""

    def run(self, launch: Launch, share: int) -> None:
        """Run a launch, `share` as in `claim_share`; 0: the calling thread does all."""


class Executor(Protocol):
    """Runs or records launches. `empty` gives the buffers that operations write, so that a recorder can place them."""

    target: Target
    threads: int

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]: ...

    def run(self, launch: Launch) -> None: ...

    def mark(self, scope: str) -> None: ...


class Eager:
    """Runs each launch at once, on all threads where that pays."""

    def __init__(self, threads: int | None = None, target: str | None = None) -> None:
        self.threads = default_threads() if threads is None else check_threads(threads, "threads")
        self.target = find_target(target)
        self._lock = threading.Lock()
        self._pool: WorkerPool | None = None
        self._process = 0
        self.as_python = reference.wanted()
        self.watch: Watch | None = None

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """A new array for a result."""
        return np.empty(shape, dtype)

    def mark(self, scope: str) -> None:
        """What is run at once needs no name."""

    def run(self, launch: Launch) -> None:
        """Run a launch; returns when it is done."""
        if launch.tasks <= 0:
            return
        if self.as_python:
            arguments = [np.atleast_1d(a) if isinstance(a, np.ndarray) else a for a in launch.arguments]
            launch.kernel(*arguments, begin=0, end=launch.tasks)
            return
        alone = self.threads == 1 or launch.tasks == 1 or launch.work < SMALL
        share = 0 if alone else claim_share(self.threads)
        watch = self.watch
        if watch is not None:
            watch.run(launch, share)
            return
        loaded = launch.kernel.load(self.target)
        block = loaded.pack(launch.arguments)
        if alone:
            loaded.entry(block, 0, launch.tasks)
        else:
            memory = ctypes.create_string_buffer(block, len(block))
            self.replay(np.array([[loaded.address, ctypes.addressof(memory), launch.tasks, share, 0, 0]], np.int64))

    def replay(self, records: npt.NDArray[np.int64]) -> None:
        """Run launches that are written out as records (see `glassformer.kernels.launch`)."""
        self.pool().replay(records)

    def give_back(self) -> None:
        """Let the system take back the memory that compiling and linking kernels took."""
        give_back()

    def pool(self) -> WorkerPool:
        """The workers, started when first needed, and anew in a forked child, which inherits none."""
        watch = self.watch
        if watch is not None:
            return watch.pool
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._pool = WorkerPool(self.threads, self.target, pin=pinning())
                    self._process = os.getpid()
                    weakref.finalize(self, end_pool, self._pool, self._process)
        assert self._pool is not None
        return self._pool


def end_pool(pool: WorkerPool, process: int) -> None:
    """Let the workers of a pool end when its executor is gone; a forked child has none of them to end."""
    if process == os.getpid():
        pool.close()


@cache
def default_executor() -> Eager:
    """The executor of `glassformer.ops` and of models that ask for nothing else."""
    return Eager()
