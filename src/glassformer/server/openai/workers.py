"""Several processes that answer on one port, and one that watches over them.

All accept connections from the same listening socket, so whoever has time takes the next one. Weights that are mapped
from a file are in memory once; all else each process has for itself.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

from glassformer.errors import GlassformerError
from glassformer.runtime.cpus import affinity

Run = Callable[[Callable[[], None]], None]
MOST_RESTARTS, PERIOD = 5, 60.0  # restarts in so many seconds, more of which mean that something is wrong for good
GRACE = 5.0  # seconds beyond those that requests have, before a process is killed


class WorkersError(GlassformerError):
    """Processes that do not come up, or do not stay."""


@dataclass(frozen=True, eq=False)
class Worker:
    """A process, and where it says that it is ready."""

    process: BaseProcess
    said: Connection


class Crew:
    """The workers; each runs `run`, which is told by calling its argument that the worker is ready."""

    def __init__(self, run: Run, count: int) -> None:
        self.run, self.count = run, count
        self.stopping = False
        self.restarts: deque[float] = deque()
        self.workers: list[Worker] = []
        for place in range(count):
            self.workers.append(self.started(place))

    def started(self, place: int) -> Worker:
        """A new process in a place."""
        context = get_context("spawn")
        said, says = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(self.run, place, self.count, says), name=f"worker {place}")
        process.start()
        says.close()
        return Worker(process, said)

    def wait_ready(self) -> None:
        """Wait until all have said that they are.

        Raises:
            WorkersError: if one ends before; it has said why.
        """
        for worker in self.workers:
            wait([worker.said, worker.process.sentinel])
            if not worker.said.poll() and not self.stopping:
                raise WorkersError(f"{worker.process.name} ended before it was ready")

    def watch(self) -> None:
        """Replace those that end, until told to stop.

        Raises:
            WorkersError: if that happens too often.
        """
        while not self.stopping:
            wait([worker.process.sentinel for worker in self.workers], timeout=0.5)
            for place, worker in enumerate(self.workers):
                if not worker.process.is_alive() and not self.stopping:
                    self.note_restart()
                    worker.said.close()
                    self.workers[place] = self.started(place)

    def note_restart(self) -> None:
        """Count a restart."""
        now = time.monotonic()
        self.restarts.append(now)
        while self.restarts[0] < now - PERIOD:
            self.restarts.popleft()
        if len(self.restarts) > MOST_RESTARTS:
            raise WorkersError(f"workers ended {len(self.restarts)} times in {PERIOD:g} seconds; their log says why")

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Ask all to end, once their requests have; a handler of signals too."""
        self.stopping = True
        for worker in self.workers:
            worker.process.terminate()

    def end(self, seconds: float) -> None:
        """Wait for the end of all, and make it."""
        self.stop()
        latest = time.monotonic() + seconds
        for worker in self.workers:
            worker.process.join(max(0.0, latest - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.said.close()


def supervise(run: Run, count: int, drain: int, ready: Callable[[], None]) -> None:
    """Keep so many workers until SIGTERM, behind which this returns, or Ctrl-C.

    Args:
        run: what a worker does; a picklable function.
        drain: seconds that their requests have then.
        ready: called when all of them are.

    Raises:
        WorkersError: if workers do not come up, or end again and again.
    """
    crew = Crew(run, count)
    before = signal.signal(signal.SIGTERM, crew.stop)
    try:
        crew.wait_ready()
        if not crew.stopping:
            ready()
        crew.watch()
    finally:
        crew.end(drain + GRACE)
        signal.signal(signal.SIGTERM, before)


def work(run: Run, place: int, count: int, says: Connection) -> None:
    """The life of a worker, on processors of its own where there are enough."""
    processors = affinity()
    if hasattr(os, "sched_setaffinity") and len(processors) >= count:
        os.sched_setaffinity(0, processors[place::count])
    threading.Thread(target=leave_with_parent, daemon=True).start()
    run(lambda: says.send(True))


def leave_with_parent() -> None:
    """End this process when the one that watches over it is gone."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
