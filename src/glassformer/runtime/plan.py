"""Plans: a step's launches, recorded once and replayed in one native call.

A recorder stands in for the executor while the model's forward pass runs once; it computes nothing and writes down
every launch with its buffers. What changes from step to step (token ids, positions, the length of the cache) is read
from small arrays when the plan is replayed, so the same plan serves every step.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.runtime.executor import Eager, Launch, claim_size
from glassformer.simd.target import Target

# Elementary steps below which the leader does a recorded launch alone: fewer than an executor asks for, because a
# replayed launch is announced without Python.
SMALL = 100_000


class Recorder:
    """An executor that writes launches down for an eager one to replay.

    What NumPy does between launches is not written down, so a recorded step must not copy or convert its arrays there.
    """

    def __init__(self, executor: Eager) -> None:
        self.executor = executor
        self.target: Target = executor.target
        self.threads = executor.threads
        self.launches: list[Launch] = []

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """A buffer that every replay writes anew; the launches keep it alive."""
        return np.zeros(shape, dtype)

    def run(self, launch: Launch) -> None:
        """Write a launch down."""
        if launch.tasks > 0:
            self.launches.append(launch)

    def plan(self) -> Plan:
        """What was recorded so far."""
        return Plan(self.executor, self.launches)


class Plan:
    """Launches on fixed buffers. Not for two threads at once: they would share the buffers."""

    def __init__(self, executor: Eager, launches: list[Launch]) -> None:
        self.executor = executor
        self.launches = tuple(launches)  # keeps the buffers alive
        self._blocks: list[Any] = []
        self.records: npt.NDArray[np.int64] = np.zeros((len(launches), 4), np.int64)
        if not executor.as_python:
            for row, launch in zip(self.records, launches, strict=True):
                row[:] = self._record(launch)

    def _record(self, launch: Launch) -> tuple[int, int, int, int]:
        """Entry, address of the arguments, tasks, and tasks of a claim (0: one thread does all)."""
        loaded = launch.kernel.load(self.executor.target)
        block = loaded.pack(launch.arguments)
        self._blocks.append(ctypes.create_string_buffer(block, len(block)))
        alone = self.executor.threads == 1 or launch.tasks == 1 or launch.work < SMALL
        chunk = 0 if alone else claim_size(launch.tasks, self.executor.threads)
        return loaded.address, ctypes.addressof(self._blocks[-1]), launch.tasks, chunk

    def replay(self) -> None:
        """Run all launches in order; returns when the last is done."""
        if self.executor.as_python:
            for launch in self.launches:
                self.executor.run(launch)
        else:
            self.executor.replay(self.records)
