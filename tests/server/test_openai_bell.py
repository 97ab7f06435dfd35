"""How readers of streams are woken: all together, at once for a first token, and after a pause for those behind it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from glassformer.generation.continuation import Step
from glassformer.generation.live_stream import LiveStream
from glassformer.generation.logprobs import TokenLogprob
from glassformer.server.openai.bell import PAUSE, Bell

STEP = Step(TokenLogprob(1, -1.0), "a", None, 0.0)


def stream(*arrived: Step) -> LiveStream:
    found = LiveStream([1], None, cancel=lambda: None)
    for step in arrived:
        found.put(step)
    return found


class CountedBell(Bell):
    """Counts how often the engine's thread calls the loop."""

    calls = 0

    def heard(self) -> None:
        self.calls += 1
        super().heard()


def within_a_second(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 1.0))


def test_one_call_wakes_all_for_whom_something_has_come() -> None:
    async def work() -> None:
        bell = CountedBell(asyncio.get_running_loop())
        several = [stream(STEP), stream(), stream(STEP)]
        waits = [asyncio.ensure_future(bell.wait([each])) for each in several]
        await asyncio.sleep(0)
        for _ in several:
            bell.ring()
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        assert [each.done() for each in waits] == [True, False, True]
        assert bell.calls == 1
        assert waits[0].result()
        waits[1].cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        assert not bell.waiting
        assert bell.eager == 0

    within_a_second(work())


def test_tokens_behind_the_first_come_after_a_pause_and_without_a_call() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        bell, read = CountedBell(loop), stream(STEP)
        bell.ring()
        assert await bell.wait([read])
        woken, _ = loop.time(), read.ready()
        read.put(STEP)
        bell.ring()
        assert await bell.wait([read])
        assert loop.time() - woken > PAUSE / 2
        assert bell.calls == 1

    within_a_second(work())


def test_first_token_does_not_wait_for_the_pause() -> None:
    async def work() -> None:
        bell, read, fresh = CountedBell(asyncio.get_running_loop()), stream(STEP), stream()
        bell.ring()
        assert await bell.wait([read])
        waiting = asyncio.ensure_future(bell.wait([fresh]))
        await asyncio.sleep(0)
        fresh.put(STEP)
        bell.ring()
        assert await waiting
        assert bell.calls == 2

    within_a_second(work())


def test_nothing_comes_within_the_time_given() -> None:
    async def work() -> None:
        bell = Bell(asyncio.get_running_loop())
        assert not await bell.wait([stream()], 0.001)
        assert not bell.waiting

    within_a_second(work())


def test_pause_without_a_ring_ends_it() -> None:
    async def work() -> None:
        bell, read = CountedBell(asyncio.get_running_loop()), stream(STEP)
        bell.ring()
        assert await bell.wait([read])
        read.ready()
        await asyncio.sleep(2 * PAUSE)
        read.put(STEP)
        bell.ring()
        assert await bell.wait([read])
        assert bell.calls == 2

    within_a_second(work())
