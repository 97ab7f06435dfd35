"""Worker threads: Python threads that wait and work inside one native call each, and park when there is nothing to do."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.kernels import launch
from glassformer.runtime.cpus import affinity
from glassformer.simd.kernel import address_of
from glassformer.simd.target import Target

SPINS = 20_000  # turns of waiting (about a millisecond) before a worker parks
RUNNING_OUT = 1


class WorkerPool:
    """`threads - 1` workers beside the calling thread.

    The leader writes a list of launches into shared memory and raises a generation counter; each worker runs its share of
    each launch, meets the others at a barrier, and waits for the next generation.
    """

    def __init__(self, threads: int, target: Target, *, pin: bool = True) -> None:
        self.threads, self.target = threads, target
        self.control: npt.NDArray[np.int64] = aligned(launch.control_size(threads))
        self.launches: npt.NDArray[np.int64] = aligned(launch.RECORD)
        self.wake = [threading.Semaphore(0) for _ in range(threads)]
        self.turn = threading.Lock()  # one leader at a time
        self.lead, self.join, self.work = (k.specialise().load(target) for k in (launch.lead, launch.join, launch.work))
        for thread in range(1, threads):
            self.control[launch.PARKED + 8 * thread] = 1  # until it says otherwise
            cpu = affinity()[thread] if pin and thread < len(affinity()) else None
            threading.Thread(target=self._serve, args=(thread, cpu), name=f"glassformer-{thread}", daemon=True).start()

    def _serve(self, thread: int, cpu: int | None) -> None:
        """A worker's life: park until woken, then stay in native code as long as there is work."""
        pin_thread(cpu)
        arguments = self.work.pack([self.control, self.launches, thread, self.threads, SPINS])
        while True:
            self.wake[thread].acquire()
            if self.work.entry(arguments, 0, 0) == RUNNING_OUT:
                return

    def run(self, entry: int, arguments: int, tasks: int) -> None:
        """Run a compiled kernel over `tasks`, split evenly among all threads; returns when all are done."""
        with self.turn:
            self.launches[:] = (entry, arguments, tasks)
            self._run_announced(1)

    def _run_announced(self, count: int) -> None:
        block = self.lead.pack([self.control, self.launches, count, self.threads])
        if self.lead.entry(block, 0, 0):
            for thread in range(1, self.threads):
                if self.control[launch.PARKED + 8 * thread]:
                    self.wake[thread].release()
            self.join.entry(block, 0, 0)

    def close(self) -> None:
        """Let the workers end."""
        self.control[launch.STOP] = 1
        for semaphore in self.wake[1:]:
            semaphore.release()


def pin_thread(cpu: int | None) -> None:
    """Keep the calling thread on one processor, where the system can; two workers on one run at half speed."""
    if cpu is None or not hasattr(os, "sched_setaffinity"):
        return
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return


def aligned(size: int, dtype: Any = np.int64, alignment: int = 64) -> npt.NDArray[Any]:
    """A zeroed array that starts at a multiple of `alignment` bytes."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size * itemsize + alignment, np.uint8)
    start = -address_of(raw) % alignment
    view: npt.NDArray[Any] = raw[start : start + size * itemsize].view(dtype)
    return view
