"""What an engine has done so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 10  # seconds that the speed is measured over


@dataclass(frozen=True)
class Metrics:
    """The state of an engine at one moment. Counts go up from its start.

    Attributes:
        waiting, running: requests that wait, and that have memory.
        blocks, free_blocks, prefix_blocks: of the memory for keys and values: all, those that nobody holds, those that
            the prefix cache holds, for running requests or for later ones.
        submitted, finished, cancelled, expired, failed, rejected: requests that were accepted; that came to their end,
            were cancelled, ran out of time, ended with another error; and that were not accepted.
        preempted: how often a request lost its memory to one that came before it.
        steps: passes of the loop that read something.
        prompt_tokens: tokens of admitted prompts (and of texts that were preempted, each time).
        known_tokens: those of them that the prefix cache knew, so that they were not read.
        generated_tokens: tokens chosen.
        drafted, accepted: tokens guessed ahead, and those that were right.
        tokens_per_second: tokens chosen lately, over 10 seconds.
        uptime: seconds since the start.
    """

    waiting: int
    running: int
    blocks: int
    free_blocks: int
    prefix_blocks: int
    submitted: int
    finished: int
    cancelled: int
    expired: int
    failed: int
    rejected: int
    preempted: int
    steps: int
    prompt_tokens: int
    known_tokens: int
    generated_tokens: int
    drafted: int
    accepted: int
    tokens_per_second: float
    uptime: float


@dataclass
class Counts:
    """What is counted while an engine runs; the names are those of `Metrics`."""

    submitted: int = 0
    finished: int = 0
    cancelled: int = 0
    expired: int = 0
    failed: int = 0
    rejected: int = 0
    preempted: int = 0
    steps: int = 0
    generated_tokens: int = 0
    drafted: int = 0
    accepted: int = 0


class Rate:
    """Events of the last seconds, counted second by second."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._seconds = [(-1, 0)] * (WINDOW + 1)  # (second, events), in turns

    def add(self, events: int, now: float) -> None:
        """So many events happened now."""
        second = int(now)
        place = second % len(self._seconds)
        then, count = self._seconds[place]
        self._seconds[place] = (second, events + (count if then == second else 0))

    def per_second(self, now: float) -> float:
        """The mean of the last WINDOW whole seconds, of the time since the start where that is shorter."""
        last = int(now)
        whole = sum(count for second, count in self._seconds if last - WINDOW <= second < last)
        if now - self._start >= WINDOW:
            return whole / WINDOW
        current = sum(count for second, count in self._seconds if second == last)
        return (whole + current) / max(now - self._start, 1e-3)
