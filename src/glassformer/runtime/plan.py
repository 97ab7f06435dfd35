"""Plans: a step's launches, recorded once and replayed in one native call.

A recorder stands in for the executor while the model's forward pass runs once; it computes nothing and writes down
every launch with its buffers. What changes from step to step (token ids, positions, tables of blocks) is read from
small arrays when the plan is replayed, so the same plan serves every step.
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.kernels.launch import RECORD
from glassformer.kernels.matmul import LINE
from glassformer.runtime.executor import Eager, Launch, claim_share
from glassformer.runtime.memory import Scratch, aligned
from glassformer.simd.kernel import Loaded, address_of
from glassformer.simd.target import Target

# Elementary steps below which the leader does a recorded launch alone: fewer than an executor asks for, because a
# replayed launch is announced without Python.
SMALL = 100_000
OBJECTS = 1 << 10  # bytes that Python takes for each launch of a plan, about
HEAVY = 1 << 16  # bytes of an array that is worth being asked for ahead
Array = npt.NDArray[Any]


class Recorder:
    """An executor that writes launches down for an eager one to replay.

    What NumPy does between launches is not written down, so a recorded step must not copy or convert its arrays there.
    """

    def __init__(self, executor: Eager, *, reading: bool = False) -> None:
        """reading: the launches are for so few rows that they do little but read; see `claim_share`."""
        self.executor, self.share = executor, claim_share(executor.threads, reading=reading)
        self.target: Target = executor.target
        self.threads = executor.threads
        self.launches: list[Launch] = []
        self.scopes: list[str] = []
        self.buffers: list[Array] = []
        self.scope = ""

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
        """A buffer that every replay writes anew. It stands for a place in the plan's memory and is itself not used."""
        self.buffers.append(np.empty(shape, dtype))
        return self.buffers[-1]

    def mark(self, scope: str) -> None:
        """Name the part of the model that the launches to come belong to."""
        self.scope = scope

    def run(self, launch: Launch) -> None:
        """Write a launch down."""
        if launch.tasks > 0:
            self.launches.append(launch)
            self.scopes.append(self.scope)

    def plan(self, outputs: Sequence[Array] = (), tiles: Array | None = None, scratch: Scratch | None = None) -> Plan:
        """What was recorded. `outputs` keep memory of their own: they can be read after a replay."""
        kept = {address_of(array) for array in outputs}
        placed = [b for b in self.buffers if not any(0 <= a - address_of(b) < b.nbytes for a in kept)]
        return Plan(self.executor, self.launches, self.scopes, placed, self.share, tiles, scratch)


class Plan:
    """Launches on fixed buffers. Not for two threads at once: they would share the buffers.

    scratch: where the buffers lie, if other plans have theirs there too; none of these runs at the same time.
    kernels, costs, scopes: of the launches, in order, the part of the model that each belongs to last. records:
    [launches, RECORD], what `glassformer.kernels.launch.replay` reads. nbytes: of what it has alone. tiles: those
    of a batch (`glassformer.kernels.attention`), from which a profile counts what attention looks at.
    """

    def __init__(
        self, executor: Eager, launches: Sequence[Launch], scopes: Sequence[str], buffers: Sequence[Array], share: int,
        tiles: Array | None = None, scratch: Scratch | None = None,
    ) -> None:  # fmt: skip
        self.executor, self.share, self.tiles = executor, share, tiles
        self.kernels = tuple(launch.kernel for launch in launches)
        self.costs = tuple(launch.least for launch in launches)
        self.scopes = tuple(scopes)
        self.records: npt.NDArray[np.int64] = np.zeros((len(launches), RECORD), np.int64)
        self.launches = tuple(launches) if executor.as_python else ()
        self.pointed: dict[int, weakref.ref[Array]] = {}
        self.nbytes = 0
        self._slots: dict[int, npt.NDArray[np.int64]] = {}
        self._runs: tuple[Plan, dict[int, npt.NDArray[np.int64]]] | None = None
        if not executor.as_python:
            self._write(launches, [kernel.load(executor.target) for kernel in self.kernels], buffers, scratch)

    def _write(
        self, launches: Sequence[Launch], kernels: Sequence[Loaded], buffers: Sequence[Array], scratch: Scratch | None
    ) -> None:
        """Place the buffers, and write arguments and records."""
        used = [
            [address_of(a) for a, pointer in zip(launch.arguments, kernel.pointers, strict=True) if pointer]
            for kernel, launch in zip(kernels, launches, strict=True)
        ]
        moves, size = place(buffers, used)
        self.memory = aligned(size, np.uint8) if scratch is None else scratch.room(size)
        base = address_of(self.memory)
        starts = np.cumsum([0] + [len(kernel.names) for kernel in kernels])
        self.arguments: npt.NDArray[np.int64] = aligned(int(starts[-1]))  # of all launches, one after the other
        alone = 0 if scratch is not None else size
        self.nbytes = alone + self.arguments.nbytes + self.records.nbytes + OBJECTS * len(launches)
        kept: dict[int, Array] = {}  # weights and inputs, which must live as long as the plan
        for row, kernel, launch, start in zip(self.records, kernels, launches, starts, strict=False):
            arguments = list(launch.arguments)
            for i, (a, pointer) in enumerate(zip(arguments, kernel.pointers, strict=True)):
                if pointer and (address := address_of(a)) in moves:
                    arguments[i] = base + moves[address]
                elif isinstance(a, np.ndarray):
                    kept[id(a)] = a
            block = np.frombuffer(kernel.pack(arguments), np.int64)
            self.arguments[start : start + len(block)] = block
            alone = self.executor.threads == 1 or launch.tasks == 1 or launch.work < SMALL
            row[:4] = kernel.address, address_of(self.arguments) + 8 * start, launch.tasks, 0 if alone else self.share
        self.kept = tuple(kept.values())
        largest = [
            max((a for a in launch.arguments if id(a) in kept), key=lambda a: a.nbytes, default=None)
            if row[3]
            else None
            for launch, row in zip(launches, self.records, strict=True)
        ]
        self.records[:, 4:] = ahead(largest, self.executor.threads)

    def point(self, stand_in: Array, array: Array) -> None:
        """Let the launches use an array in the place of one that they were recorded with, until told another.

        The plan does not keep the array alive: it may be the memory of many sequences, which end before the plan does.
        """
        pointed = self.pointed.get(id(stand_in))
        if pointed is not None and pointed() is array:
            return
        # Known to be neither array meanwhile: an interrupt may come between any two lines.
        self.pointed.pop(id(stand_in), None)
        if not self.executor.as_python:
            if id(stand_in) not in self._slots:  # found once: afterwards the address is another
                self._slots[id(stand_in)] = np.flatnonzero(self.arguments == address_of(stand_in))
            self.arguments[self._slots[id(stand_in)]] = address_of(array)
        self.pointed[id(stand_in)] = weakref.ref(array)

    def replay(self, times: int = 1, behind: Plan | None = None) -> None:
        """Run all launches in order, and those of another plan behind them, so many times; returns when all is done.

        Who looks on measures this plan and not the other, which makes the next pass's row.
        """
        watch = self.executor.watch  # which another thread may end at any moment
        if self.executor.as_python:
            for _ in range(times):
                self._run_each()
                if behind is not None:
                    behind.replay_unseen()
        elif watch is not None:
            watch.replay(self, times, behind)
        else:
            self.executor.replay(self.listed(times, behind))

    def replay_unseen(self) -> None:
        """Run all launches in order, and let nobody who looks on measure them: they are not of the model."""
        if self.executor.as_python:
            self._run_each()
        else:
            self.executor.replay(self.records)

    def _run_each(self) -> None:
        """Run launch after launch as Python."""
        pointed = {stand_in: array() for stand_in, array in self.pointed.items()}
        for launch in self.launches:
            arguments = tuple(pointed.get(id(a), a) for a in launch.arguments)
            self.executor.run(replace(launch, arguments=arguments))

    def listed(self, times: int, behind: Plan | None) -> npt.NDArray[np.int64]:
        """The records and those of another plan behind them, so many times. Those made last are kept."""
        if behind is None:
            return self.records if times == 1 else np.tile(self.records, (times, 1))
        if self._runs is None or self._runs[0] is not behind:
            self._runs = behind, {}
        kept = self._runs[1]
        if times not in kept:
            last = behind.records.copy()
            last[:, 4:] = self.records[-1, 4:]  # ahead of them is what is ahead of the last launch
            kept[times] = np.tile(np.concatenate([self.records, last]), (times, 1))
        return kept[times]


def ahead(weights: Sequence[Array | None], threads: int) -> npt.NDArray[np.int64]:
    """With each launch the weights that are read next, and the part of each thread in bytes, [launches, 2].

    weights: the largest array that each launch reads, None where the leader is alone. Behind the last launch comes the
    next replay, which begins with the first.
    """
    found = np.zeros((len(weights), 2), np.int64)
    coming = 0, 0
    for turn in reversed(range(2 * len(weights))):
        launch = turn % len(weights)
        found[launch] = coming
        array = weights[launch]
        if array is not None and array.nbytes >= HEAVY:
            coming = address_of(array), array.nbytes // threads // LINE * LINE
    return found


def place(buffers: Sequence[Array], used: Sequence[Sequence[int]]) -> tuple[dict[int, int], int]:
    """Where each buffer goes in one memory, so that those in use at the same launch do not meet, and its size.

    Args:
        buffers: arrays that stand for places.
        used: for each launch, the addresses that it is given; those within a buffer are moved with it.

    Returns:
        The offset in the memory for each address within a buffer, a multiple of LINE where the buffer begins, and the
        bytes of the memory. First fit, in the order of first use (linear scan: Poletto & Sarkar, 1999).
    """
    owners = sorted((address_of(b), b.nbytes) for b in buffers)
    bounds = [start for start, _ in owners]
    inside: dict[int, int] = {}  # address -> index of its owner
    life: dict[int, list[int]] = {}  # owner -> first and last launch
    for number, addresses in enumerate(used):
        for address in addresses:
            owner = bisect_right(bounds, address) - 1
            if owner >= 0 and address < owners[owner][0] + owners[owner][1]:
                inside[address] = owner
                life.setdefault(owner, [number, number])[1] = number
    offsets: dict[int, int] = {}
    living: list[tuple[int, int, int]] = []  # offset, end, last launch
    size = 0
    for owner, (first, last) in life.items():
        living = [entry for entry in living if entry[2] >= first]
        room = -(-owners[owner][1] // LINE) * LINE
        offsets[owner] = gap(sorted(living), room)
        living.append((offsets[owner], offsets[owner] + room, last))
        size = max(size, offsets[owner] + room)
    return {address: offsets[owner] + address - owners[owner][0] for address, owner in inside.items()}, size


def gap(taken: Sequence[tuple[int, int, int]], room: int) -> int:
    """The lowest offset with so much room between places that are taken, in order of offset."""
    start = 0
    for offset, end, _ in taken:
        if offset - start >= room:
            break
        start = max(start, end)
    return start
