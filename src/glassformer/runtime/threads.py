"""Worker threads: Python threads that wait and work inside one native call each, and park when there is nothing to
do.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from glassformer.kernels import launch
from glassformer.runtime.cpus import Seats, ThreadsError
from glassformer.runtime.memory import aligned
from glassformer.simd.kernel import Loaded, address_of
from glassformer.simd.target import Target

SPINS = 20_000  # turns of waiting (a fraction of a millisecond) before a worker parks
ENDED = 1


class Wake:
    """What a worker sleeps on. Calls that come before it has woken are one call.

    One lock, which is taken and released in one step each: within a semaphore of Python's, an interrupt may leave a
    lock taken that nobody releases.
    """

    def __init__(self) -> None:
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def acquire(self) -> None:
        """Sleep until called."""
        self._asleep.acquire()

    def release(self) -> None:
        """Call the worker."""
        with suppress(RuntimeError):  # called already
            self._asleep.release()


class WorkerPool:
    """`threads - 1` workers beside the calling thread, which leads.

    See `glassformer.kernels.launch` for the protocol.
    """

    def __init__(self, threads: int, target: Target, *, pin: bool = True, timed: bool = False) -> None:
        self.threads = threads
        size = launch.timed_size(threads) if timed else launch.control_size(threads)
        self.control: npt.NDArray[np.int64] = aligned(size)
        self.control[launch.THREADS] = threads
        self.control[launch.HERE] = address_of(self.control)
        self.wake = [Wake() for _ in range(threads)]
        self.turn = threading.Lock()  # one leader at a time
        self.lead, self.work = (
            kernel.specialise(PROFILE=timed).load(target) for kernel in (launch.replay, launch.work)
        )
        self.seats = Seats(threads if pin else 0)
        for thread in range(1, threads):
            self.control[launch.PARKED + 8 * thread] = 1  # until it says otherwise
            # The thread holds no reference to the pool, so that the pool can end it when nobody uses it any more.
            arguments = (self.work, self.control, self.wake[thread], thread)
            worker = threading.Thread(target=serve, args=arguments, name=f"glassformer-{thread}", daemon=True)
            try:
                worker.start()
                self.seats.take(thread, worker.native_id)
            except RuntimeError:  # a limit on the number of threads
                self.close()
                raise ThreadsError(
                    f"the system started {thread - 1} of {threads - 1} worker threads; ask for fewer"
                ) from None
            except BaseException:  # an interrupt, for which the started ones must not wait
                self.close()
                raise

    def replay(self, records: npt.NDArray[np.int64]) -> None:
        """Run a list of launches, [count, RECORD], one after the other; returns when all are done."""
        with self.turn:
            arguments = self.lead.pack([self.control, records, len(records)])
            self.seats.make_way()
            self.control[launch.ACTIVE] = 1
            try:
                for thread in range(1, self.threads):
                    if self.control[launch.PARKED + 8 * thread]:
                        self.wake[thread].release()
                # One native call: an interrupt is taken before or after it, never while workers use the arguments.
                self.lead.entry(arguments, 0, 0)
            finally:
                self.control[launch.ACTIVE] = 0

    def close(self) -> None:
        """Let the workers end."""
        self.control[launch.STOP] = 1
        for wake in self.wake[1:]:
            wake.release()


def serve(work: Loaded, control: npt.NDArray[np.int64], wake: Wake, thread: int) -> None:
    """A worker's life: parked until woken, then in native code as long as there is work."""
    arguments = work.pack([control, thread, SPINS])
    while True:
        wake.acquire()
        if work.entry(arguments, 0, 0) == ENDED:
            return
