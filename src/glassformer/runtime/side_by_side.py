"""Tokens of several texts, each chosen by one thread: what it works in stays in that thread's cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from glassformer.kernels.launch import RECORD, run_lists
from glassformer.runtime.arrays import Float32
from glassformer.runtime.desk import Desk, Wish, Workspace
from glassformer.runtime.executor import Eager, Launch
from glassformer.runtime.plan import Plan

TEXTS = 16  # that are chosen for in one native call, at most


def planned(executor: Eager, launches: Iterable[Launch]) -> Plan:
    """Launches that choose tokens, on buffers of their own, as a plan."""
    listed = list(launches)
    return Plan(executor, listed, ["sampling"] * len(listed), [], executor.threads)


def plan_of(executor: Eager, desk: Desk) -> Plan:
    """What chooses a token at a desk; `point` says out of what."""
    return planned(executor, desk.launches(desk.allowed, desk.logits, desk.row))


def point(plan: Plan, desk: Desk, allowed: Float32, logits: Float32, mask: Float32 | None) -> None:
    """Let the plan of a desk choose among these, all [size]."""
    plan.point(desk.allowed, allowed)
    plan.point(desk.logits, logits)
    if mask is not None:
        plan.point(desk.mask, mask)


class SideBySide:
    """Desks of TEXTS texts. There is scratch memory for each thread, and each list of choices has one of them."""

    def __init__(self, size: int, executor: Eager) -> None:
        self.size, self.executor = size, executor
        workspaces = [Workspace(size) for _ in range(min(executor.threads, TEXTS))]
        self.desks = [Desk(size, 1, workspaces[place % len(workspaces)]) for place in range(TEXTS)]
        self.plans = [plan_of(executor, desk) for desk in self.desks]
        self.lists = len(workspaces)
        self._launches: dict[int, Plan] = {}

    def choose(self, logits: Float32, wishes: Sequence[Wish]) -> list[tuple[int, float] | None]:
        """See `Sampler.choose_all`."""
        chosen: list[tuple[int, float] | None] = []
        for first in range(0, len(wishes), TEXTS):
            some = wishes[first : first + TEXTS]
            for wish, row, desk, plan in zip(some, logits[first:], self.desks, self.plans, strict=False):
                desk.ask(wish.cut, [wish.number], masked=wish.mask is not None)
                point(plan, desk, row, row, wish.mask)
            self._launch(len(some)).replay_unseen()
            chosen += [desk.found(0) for desk in self.desks[: len(some)]]
        return chosen

    def _launch(self, texts: int) -> Plan:
        """One launch, of which each task is the choices that share scratch memory, one after the other."""
        if texts not in self._launches:
            lists = [[plan.records for plan in self.plans[place : texts : self.lists]] for place in range(self.lists)]
            lists = [each for each in lists if each]
            records: npt.NDArray[np.int64] = np.concatenate([part for each in lists for part in each])
            ends = np.cumsum([0] + [sum(len(part) for part in each) for each in lists], dtype=np.int64)
            launch = Launch(run_lists.specialise(), (records, ends), len(lists), texts * self.size * RECORD)
            self._launches[texts] = planned(self.executor, [launch])
        return self._launches[texts]
