"""Which requests are read in a step, and how many tokens of each: ids and lengths alone, no arrays and no model.

Requests join and leave at every step (continuous batching, Yu et al. 2022, "Orca"). A step reads the one token that
each running text chose last, and pieces of prompts beside them, in a number of tokens that bounds how long the texts
wait for it (chunked prefill, Agrawal et al. 2024, arXiv:2403.02310).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from glassformer.generation.errors import OptionsError
from glassformer.generation.options import is_int, is_number
from glassformer.generation.serving_errors import BusyError
from glassformer.runtime.kv_cache import BLOCK_TOKENS

FEWEST = 32  # tokens of prompts beside running texts, however long they take: fewer would hardly be quicker


@dataclass(frozen=True)
class Limits:
    """How much is done at a time.

    Attributes:
        running: requests in a step.
        waiting: requests in the queue; more are refused.
        prompt_tokens: tokens of prompts in a step, where nobody waits for a next token.
        shared_prompt_tokens: the same, where somebody does.
        stall: seconds that running texts may wait for a piece of a prompt: fewer tokens are read where these would take
            longer.

    Raises:
        OptionsError: naming every field that is out of range.
    """

    running: int = 64
    waiting: int = 256
    prompt_tokens: int = 512
    shared_prompt_tokens: int = 256
    stall: float = 0.05

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {value!r}; it must be a whole number of at least 1"
            for name, value in vars(self).items()
            if name != "stall" and not (is_int(value) and value >= 1)
        ]
        if not (is_number(self.stall) and self.stall > 0):
            problems.append(f"stall is {self.stall!r}; it must be a number of seconds above 0")
        if problems:
            raise OptionsError(problems)


@dataclass(eq=False)
class Request:
    """A text on its way.

    Attributes:
        ids: the prompt, and behind it every token chosen so far.
        capacity: tokens that it may come to hold in memory.
        priority: lower numbers come first; equal ones in the order of their arrival.
        deadline: when it ends at the latest, in the clock of `Scheduler.expire`.
        prompt_length: how many of the ids are the prompt.
        read: how many of the ids the network has read, by itself or for a request that began alike.
        arrival: its number among all requests.
        preemptions: how often its memory was taken away.
    """

    ids: list[int]
    capacity: int
    priority: int = 0
    deadline: float = inf
    prompt_length: int = field(init=False)
    read: int = 0
    arrival: int = 0
    preemptions: int = 0

    def __post_init__(self) -> None:
        self.prompt_length = len(self.ids)

    @property
    def unread(self) -> int:
        """Tokens that the network has to read before it can choose the next."""
        return len(self.ids) - self.read


def order(request: Request) -> tuple[int, int]:
    """Who comes first."""
    return request.priority, request.arrival


class Memory(Protocol):
    """Blocks for keys and values, see `glassformer.generation.sequence_memory`. Each method may change `read`."""

    def check_fits(self, request: Request) -> None:
        """Refuse a request that could never run."""

    def admit(self, request: Request, spare: int) -> bool:
        """Take blocks for all its ids, if as many as `spare` are left behind them."""

    def extend(self, request: Request, tokens: int) -> bool:
        """Take the blocks that so many tokens more than were read need, if there are."""

    def join(self, request: Request) -> None:
        """Go on behind tokens that another request has read in the meantime."""

    def claims(self, request: Request, tokens: int) -> Sequence[Hashable]:
        """What stands for the blocks that become full when so many more tokens are read."""

    def release(self, request: Request) -> None:
        """Give its blocks back."""


@dataclass(frozen=True)
class Turn:
    """What a step reads.

    Attributes:
        decoding: requests of which one token is unread.
        reading: requests of which more are, with how many of them are read now.
        preempted: requests that went back to the queue.
    """

    decoding: tuple[Request, ...]
    reading: tuple[tuple[Request, int], ...]
    preempted: tuple[Request, ...] = ()


class Scheduler:
    """The requests that wait and those that run, both in order.

    Those that wait are admitted in that order, each when there is memory for all its ids: a large one is not overtaken
    by smaller ones. Where memory runs out, the last of the running ones loses its own, and is read again later; the
    first one always goes on, so that every request comes to its end.
    """

    def __init__(self, limits: Limits, memory: Memory) -> None:
        self.limits, self.memory = limits, memory
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self._arrivals = 0

    def add(self, request: Request) -> None:
        """Let a request wait for its turn.

        Raises:
            BusyError: if too many wait.
            TooLongError: if it could never run.
        """
        self.memory.check_fits(request)
        if len(self.waiting) >= self.limits.waiting:
            raise BusyError(f"{len(self.waiting)} requests wait already; try again later", retry_after=1.0)
        self._arrivals += 1
        request.arrival = self._arrivals
        insort(self.waiting, request, key=order)

    def remove(self, request: Request) -> None:
        """Let a request go, wherever it stands; one that is gone stays so."""
        if request in self.waiting:
            self.waiting.remove(request)
        elif request in self.running:
            self.running.remove(request)
            self.memory.release(request)

    def expire(self, now: float) -> list[Request]:
        """Remove the requests whose time is over, and return them."""
        over = [request for request in (*self.running, *self.waiting) if request.deadline <= now]
        for request in over:
            self.remove(request)
        return over

    def schedule(self, seconds: float = 0.0) -> Turn:
        """Decide what the next step reads, and hold memory for it; `seconds`: what a token of a prompt takes."""
        preempted = tuple(self._hold_decoding())
        if not preempted:  # what was just taken away is not given out again at once
            self._admit()
        return Turn(tuple(self._decoding()), tuple(self._reading(seconds)), preempted)

    def _decoding(self) -> Iterator[Request]:
        return (request for request in self.running if request.unread == 1)

    def _hold_decoding(self) -> Iterator[Request]:
        """Memory for the next token of each running text, first come first served; those that lose theirs for it."""
        for request in list(self._decoding()):
            while request in self.running and not self.memory.extend(request, 1):
                yield self._preempt(self.running[-1])

    def _preempt(self, request: Request) -> Request:
        self.remove(request)
        request.read = 0
        request.preemptions += 1
        insort(self.waiting, request, key=order)
        return request

    def _admit(self) -> None:
        """Let requests in while there is room, and a block to grow into for each one that runs."""
        while self.waiting and len(self.running) < self.limits.running:
            if not self.memory.admit(self.waiting[0], spare=len(self.running)):
                return
            insort(self.running, self.waiting.pop(0), key=order)

    def _room(self, seconds: float) -> int:
        """How many tokens of prompts are read."""
        limits = self.limits
        if not any(self._decoding()):
            return limits.prompt_tokens
        if seconds * limits.shared_prompt_tokens <= limits.stall:
            return limits.shared_prompt_tokens
        return min(limits.shared_prompt_tokens, max(FEWEST, int(limits.stall / seconds) // FEWEST * FEWEST))

    def _reading(self, seconds: float) -> Iterator[tuple[Request, int]]:
        """Pieces of prompts. What another one reads in this step is not read twice: who begins alike waits for it."""
        prompts = [request for request in self.running if request.unread > 1]
        room, first = self._room(seconds), True
        claimed: set[Hashable] = set()
        for request, most in shares(prompts, room):
            self.memory.join(request)
            count = piece(request, min(room, most), cut=first)
            claims = self.memory.claims(request, count)
            if count and not (claims and claims[0] in claimed):
                claimed.update(claims)
                room -= count
                first = False
                yield request, count


def shares(prompts: Sequence[Request], room: int) -> list[tuple[Request, int]]:
    """In which order prompts are read, and how many tokens of each at most.

    Those of which least is left go first, so that a long prompt is not in the way of short ones; but the one that came
    first has half of the room, however many come behind it.
    """
    shortest = sorted(prompts, key=lambda request: request.unread)  # stable: of equal ones, who came first
    if not prompts or shortest[0] is prompts[0]:
        return [(request, room) for request in shortest]
    half = -(-room // 2)
    return [(prompts[0], half), *((request, room) for request in shortest if request is not prompts[0])]


def piece(request: Request, room: int, *, cut: bool) -> int:
    """How many tokens to read of a prompt: to its end, else to where a block ends.

    cut: where there is less room than to the end of a block, read as much as there is room for; else nothing.
    """
    if request.unread <= room:
        return request.unread
    aligned = (request.read + room) // BLOCK_TOKENS * BLOCK_TOKENS - request.read
    return aligned if aligned > 0 else room * cut
