"""Policy without a model: what is read when, and that no block is lost, owned twice, or holds other tokens than it
should."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from glassformer.generation.errors import OptionsError
from glassformer.generation.prefix_cache import PrefixCache
from glassformer.generation.scheduler import Limits, Request, Scheduler, Turn, piece, shares
from glassformer.generation.sequence_memory import SequenceMemory
from glassformer.generation.serving_errors import BusyError, TooLongError
from glassformer.runtime.kv_cache import BLOCK_TOKENS, KVPool, Layout, blocks_of


def memory_of(blocks: int, prefixes: bool = True) -> SequenceMemory:
    pool = KVPool(Layout(1, 1, 16), blocks)
    return SequenceMemory(pool, PrefixCache(pool, blocks) if prefixes else None)


class Reader:
    """Reads what a turn says, and notes which token lies at each position of each block."""

    def __init__(self, scheduler: Scheduler, memory: SequenceMemory) -> None:
        self.scheduler, self.memory = scheduler, memory
        self.written: dict[tuple[int, int], int] = {}
        self.read_tokens = 0

    def run(self, turn: Turn, lengths: dict[Request, int]) -> list[Request]:
        """Read, choose a token where all was read, and return those that are as long as they are to become."""
        ended = []
        for request, count in [*((request, 1) for request in turn.decoding), *turn.reading]:
            cache = self.memory.cache(request)
            assert cache.length == request.read
            cache.reserve(count)
            for place in range(cache.length, cache.length + count):
                block, offset = cache.table[place // BLOCK_TOKENS], place % BLOCK_TOKENS
                assert self.memory.pool.holders[block] == 1, "nobody writes into what others hold"
                self.written[block, offset] = request.ids[place]
            cache.advance(count)
            self.read_tokens += count
            self.check_contents(request)
            self.memory.keep(request)
            if request.unread == 0:
                request.ids.append(sum(request.ids) % 7)
                if len(request.ids) == lengths[request]:
                    ended.append(request)
        for request in ended:
            self.scheduler.remove(request)
        return ended

    def check_contents(self, request: Request) -> None:
        cache = self.memory.cache(request)
        held = [self.written[cache.table[i // BLOCK_TOKENS], i % BLOCK_TOKENS] for i in range(cache.length)]
        assert held == request.ids[: cache.length]


class Machine(RuleBasedStateMachine):
    """Requests come, are cancelled and run out of time while the others run."""

    @initialize(
        blocks=st.integers(2, 9), running=st.integers(1, 5), rows=st.integers(1, 300), shared=st.integers(1, 150),
        prefixes=st.booleans(),
    )  # fmt: skip
    def start(self, blocks: int, running: int, rows: int, shared: int, prefixes: bool) -> None:
        self.limits = Limits(running, 6, rows, shared)
        self.memory = memory_of(blocks, prefixes)
        self.scheduler = Scheduler(self.limits, self.memory)
        self.reader = Reader(self.scheduler, self.memory)
        self.lengths: dict[Request, int] = {}
        self.now = 0.0

    @rule(kind=st.integers(0, 2), prompt=st.integers(1, 300), new=st.integers(1, 90), time=st.integers(1, 40))
    def submit(self, kind: int, prompt: int, new: int, time: int) -> None:
        ids = [(i * (kind + 1)) % 11 for i in range(prompt)]
        request = Request(ids, prompt + new - 1, deadline=self.now + time)
        full = len(self.scheduler.waiting) >= self.limits.waiting
        if blocks_of(request.capacity) > self.memory.pool.blocks:
            with pytest.raises(TooLongError, match="ask for fewer"):
                self.scheduler.add(request)
        elif full:
            with pytest.raises(BusyError, match="6 requests wait already"):
                self.scheduler.add(request)
        else:
            self.scheduler.add(request)
            self.lengths[request] = prompt + new

    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        if self.lengths:
            request = list(self.lengths)[which % len(self.lengths)]
            self.scheduler.remove(request)
            del self.lengths[request]

    @rule(steps=st.integers(1, 12))
    def step(self, steps: int) -> None:
        for _ in range(steps):
            self.now += 1
            for request in self.scheduler.expire(self.now):
                assert request.deadline <= self.now
                del self.lengths[request]
            assert all(request.deadline > self.now for request in self.lengths)
            self.advance()

    def advance(self) -> None:
        first = min(self.lengths, key=lambda request: request.arrival, default=None)
        before = set(self.scheduler.running)
        turn = self.scheduler.schedule()
        assert not turn.preempted or set(self.scheduler.running) < before, "nobody comes in where somebody had to go"
        rows = sum(count for _, count in turn.reading)
        assert rows <= (self.limits.shared_prompt_tokens if turn.decoding else self.limits.prompt_tokens)
        assert len(turn.decoding) + len(turn.reading) <= self.limits.running
        chosen = [*turn.decoding, *(request for request, _ in turn.reading)]
        assert len(set(chosen)) == len(chosen)
        assert first is None or first in chosen, "who came first goes on in every step"
        assert first not in turn.preempted
        for request in self.reader.run(turn, self.lengths):
            del self.lengths[request]

    @invariant()
    def every_block_has_its_holders(self) -> None:
        if not hasattr(self, "memory"):
            return
        pool, prefixes = self.memory.pool, self.memory.prefixes
        held = Counter(b for request in self.scheduler.running for b in self.memory.cache(request).table)
        if prefixes is not None:
            held.update(prefixes._blocks.values())
            assert prefixes.idle() <= len(prefixes) <= prefixes.limit
        assert pool.holders == [held[block] for block in range(pool.blocks)]
        assert sorted(pool.free) == [block for block in range(pool.blocks) if not held[block]]

    @invariant()
    def everyone_is_in_one_place_and_in_order(self) -> None:
        if not hasattr(self, "memory"):
            return
        queue = [*self.scheduler.running, *self.scheduler.waiting]
        assert set(queue) == set(self.lengths)
        arrivals = [request.arrival for request in queue]
        assert arrivals == sorted(set(arrivals)), "first come, first served"
        assert len(self.scheduler.running) <= self.limits.running

    def teardown(self) -> None:
        """Whoever is left comes to an end, and all blocks are free again."""
        if not hasattr(self, "memory"):
            return
        expected = sum(4 * length for length in self.lengths.values()) * 8 + 100
        while self.lengths and expected:
            self.advance()
            expected -= 1
        assert not self.lengths, "somebody never ends"
        if self.memory.prefixes is not None:
            self.memory.prefixes.clear()
        assert len(self.memory.pool.free) == self.memory.pool.blocks
        assert set(self.memory.pool.holders) == {0}


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def scheduler_of(blocks: int, prefixes: bool = True, **limits: Any) -> tuple[Scheduler, Reader]:
    memory = memory_of(blocks, prefixes)
    scheduler = Scheduler(Limits(**limits), memory)
    return scheduler, Reader(scheduler, memory)


def request_of(prompt: int, new: int = 4, first: int = 0, **others: Any) -> Request:
    return Request([first, *range(1, prompt)], prompt + new - 1, **others)


def test_a_long_prompt_neither_stalls_texts_nor_stands_before_short_prompts() -> None:
    scheduler, reader = scheduler_of(40, prefixes=False, prompt_tokens=256, shared_prompt_tokens=128)
    running, long, short = request_of(5, 90, 1), request_of(1000, 9, 2), request_of(20, 9, 3)
    lengths = {running: 95, long: 1009, short: 29}
    scheduler.add(running)
    reader.run(scheduler.schedule(), lengths)
    scheduler.add(long)
    scheduler.add(short)
    turn = scheduler.schedule()
    assert turn.decoding == (running,)
    assert dict(turn.reading) == {long: 64, short: 20}, "the long one came first and has its half"
    steps = 0
    while long.unread > 1:
        steps += 1
        reader.run(turn, lengths)
        turn = scheduler.schedule()
        assert running in turn.decoding
    assert 8 <= steps <= 9, "alone, it has all the room"
    assert len(short.ids) > 20


def test_a_shared_prompt_is_read_once_even_by_those_that_come_together() -> None:
    scheduler, reader = scheduler_of(60, prompt_tokens=512, shared_prompt_tokens=512)
    requests = [Request([*range(300), i], 310) for i in range(8)]
    lengths = dict.fromkeys(requests, 305)
    for request in requests:
        scheduler.add(request)
    while lengths:
        for request in reader.run(scheduler.schedule(), lengths):
            del lengths[request]
    assert reader.read_tokens == 256 + 8 * (301 - 256) + 8 * 3
    assert reader.memory.known_tokens == 7 * 256


def test_the_newest_loses_its_memory_and_comes_back_first() -> None:
    scheduler, reader = scheduler_of(5, prefixes=False)
    old, new, later = request_of(64, 70, 1), request_of(64, 70, 2), request_of(64, 70, 3)
    lengths = {old: 134, new: 134, later: 134}
    scheduler.add(old)
    scheduler.add(new)
    reader.run(scheduler.schedule(), lengths)
    scheduler.add(later)
    while not scheduler.waiting or scheduler.waiting[0] is later:
        reader.run(scheduler.schedule(), lengths)
    assert scheduler.waiting == [new, later]
    assert (new.read, new.preemptions, old.preemptions) == (0, 1, 0)
    assert len(new.ids) > 64, "what was chosen stays"
    ended = [request for _ in range(200) for request in reader.run(scheduler.schedule(), lengths)]
    assert ended == [old, new, later]


def test_lower_numbers_of_priority_come_first_and_are_preempted_last() -> None:
    scheduler, reader = scheduler_of(4, prefixes=False, running=2)
    low, high, middle = (request_of(60, 70, n, priority=p) for n, p in enumerate((9, 1, 5)))
    lengths = dict.fromkeys((low, high, middle), 130)
    scheduler.add(low)
    reader.run(scheduler.schedule(), lengths)
    scheduler.add(middle)
    scheduler.add(high)
    ended = [request for _ in range(300) for request in reader.run(scheduler.schedule(), lengths)]
    assert ended == [high, middle, low]
    assert low.preemptions
    assert not high.preemptions


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    scheduler, reader = scheduler_of(6, prefixes=False)
    first, large, small = request_of(200, 20, 1), request_of(300, 20, 2), request_of(10, 20, 3)
    lengths = {first: 220, large: 310, small: 30}
    for request in lengths:
        scheduler.add(request)
    assert scheduler.schedule().reading == ((first, 200),)
    ended = [request for _ in range(60) for request in reader.run(scheduler.schedule(), lengths)]
    assert ended == [first, large, small]


@pytest.mark.parametrize(
    ("read", "length", "room", "cut", "expected"),
    [(0, 50, 64, False, 50), (0, 100, 64, False, 64), (0, 100, 63, False, 0), (0, 100, 63, True, 63),
     (64, 300, 200, False, 192), (30, 300, 100, False, 98), (30, 300, 20, True, 20), (128, 129, 1, False, 1)],
)  # fmt: skip
def test_pieces_end_where_blocks_do(read: int, length: int, room: int, cut: bool, expected: int) -> None:
    request = request_of(length)
    request.read = read
    assert piece(request, room, cut=cut) == expected


def test_room_goes_to_the_shortest_and_half_of_it_to_the_first() -> None:
    long, short, medium = request_of(900), request_of(5), request_of(70)
    assert shares([long, short, medium], 101) == [(long, 51), (short, 101), (medium, 101)]
    assert shares([short, long, medium], 101) == [(short, 101), (medium, 101), (long, 101)]
    assert shares([], 101) == []


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 200), (1e-4, 200), (5e-4, 64), (1e-3, 32), (1.0, 32)])
def test_slow_prompts_are_read_in_smaller_pieces_beside_texts(seconds: float, expected: int) -> None:
    scheduler, reader = scheduler_of(40, prefixes=False, shared_prompt_tokens=200, stall=0.05)
    running, long = request_of(5, 90, 1), request_of(200, 9, 2)
    scheduler.add(running)
    reader.run(scheduler.schedule(seconds), {running: 95})
    scheduler.add(long)
    assert scheduler.schedule(seconds).reading == ((long, expected),)
    scheduler.remove(running)
    assert scheduler.schedule(seconds).reading == ((long, 200),), "nobody waits"


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "4"])
def test_limits_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(OptionsError, match=r"running is .* whole number of at least 1; stall is 0"):
        Limits(running=value, stall=0)
