"""The engine over its life: the queue, time, cancelling, draining, stopping, and what is left behind."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import CancelledError as CancelledFuture
from functools import partial

import pytest
from serving_cases import STORY, WAYS, alone, config_of, settled, standing

import glassformer
from glassformer.generation.asked import Asked
from glassformer.generation.continuation import Step
from glassformer.generation.errors import ContextError, GenerationError, LogitsError, OptionsError, PromptError
from glassformer.generation.live_stream import LiveStream
from glassformer.generation.model import TextModel
from glassformer.generation.serving import Engine, ServingConfig
from glassformer.generation.serving_errors import (
    BusyError,
    CancelledError,
    ClosedError,
    DeadlineError,
    ServingError,
    TooLongError,
)
from glassformer.generation.serving_metrics import Rate
from glassformer.runtime.kv_cache import KVCache, KVPool


@pytest.fixture(scope="module", params=["f32", "q8"])
def story(request: pytest.FixtureRequest) -> TextModel:
    return glassformer.load(dtype=request.param)


def test_a_full_queue_refuses_and_order_is_kept(story: TextModel) -> None:
    ends: list[int] = []
    asked = Asked(do_sample=False, max_new_tokens=4)
    with Engine(story, config_of(story, running=1, waiting=3)) as engine:
        with standing(engine):
            streams = [engine.submit("A", asked, priority=-n, notify=partial(ends.append, n)) for n in range(3)]
            with pytest.raises(BusyError, match="3 requests wait already") as caught:
                engine.submit("A", asked)
            assert caught.value.retry_after > 0
            assert engine.metrics().waiting == 3
        assert len({tuple(stream.finish().ids) for stream in streams}) == 1
        assert ends == sorted(ends, reverse=True), "lower numbers come first"
        assert set(ends) == {0, 1, 2}
        metrics = engine.metrics()
        assert (metrics.submitted, metrics.rejected, metrics.waiting) == (3, 1, 0)


def test_time_runs_out_and_interest_ends_while_waiting(story: TextModel) -> None:
    with Engine(story, config_of(story)) as engine:
        with standing(engine):
            late, gone = engine.submit("A", timeout=0.001), engine.submit("A")
            gone.cancel()
            gone.cancel()
            time.sleep(0.002)
        with pytest.raises(DeadlineError, match="time was over"):
            late.finish()
        with pytest.raises(CancelledError):
            gone.finish()
        assert late.ended
        assert list(late) == []
        with pytest.raises(GenerationError, match="has not ended yet"):
            _ = late.result
        assert (engine.metrics().expired, engine.metrics().cancelled) == (1, 1)


def test_time_runs_out_while_running(story: TextModel) -> None:
    with Engine(story, config_of(story)) as engine:
        stream = engine.submit("A", Asked(max_new_tokens=400, ignore_eos=True, do_sample=False), timeout=0.01)
        with pytest.raises(DeadlineError):
            stream.finish()
        assert settled(lambda: engine.metrics().running == 0)


def test_what_cannot_be_served_is_refused_at_once(story: TextModel, model: TextModel) -> None:
    with Engine(story, config_of(story, blocks=2)) as engine:
        with pytest.raises(TooLongError, match=r"may come to 200 tokens, and the memory .* holds 128"):
            engine.submit([1, 2, 3], Asked(max_new_tokens=198))
        with pytest.raises(ContextError):
            engine.submit([1] * 5000)
        with pytest.raises(PromptError, match="99999"):
            engine.submit([99999])
        with pytest.raises(OptionsError, match="top_p is 7"):
            engine.submit("A", Asked(top_p=7))
        with pytest.raises(OptionsError, match=r"priority is 'x'.*timeout is 0"):
            engine.submit("A", priority="x", timeout=0)  # type: ignore[arg-type]
        assert (engine.metrics().submitted, engine.metrics().rejected) == (0, 1)
    with pytest.raises(ServingError, match=r"TableNetwork cannot be served.*load a model"):
        Engine(model)
    with pytest.raises(OptionsError, match="a block of this model takes"):
        Engine(story, ServingConfig(cache_bytes=5))
    with pytest.raises(OptionsError, match=r"cache_bytes is 0.*prefix_bytes is -1"):
        ServingConfig(cache_bytes=0, prefix_bytes=-1)


def test_ready_gives_what_has_come_and_then_the_error(story: TextModel) -> None:
    asked = Asked(do_sample=False, max_new_tokens=6)
    text = alone(story, "A", asked)
    with Engine(story, config_of(story)) as engine:
        stream = engine.submit("A", asked)
        steps: list[Step] = []
        assert settled(lambda: steps.extend(stream.ready()) or stream.ended)  # type: ignore[func-returns-value]
        assert [step.token for step in steps] == text.logprobs
        assert stream.result == text
        assert stream.ready() == []
    broken = LiveStream([1], None, cancel=lambda: None)
    broken.put(steps[0])
    broken.put(LogitsError("broken"))
    assert broken.ready() == steps[:1]
    with pytest.raises(LogitsError, match="broken"):
        broken.ready()
    assert broken.ready() == []


def test_draining_ends_what_is_here_and_stopping_ends_it_at_once(story: TextModel) -> None:
    asked = Asked(max_new_tokens=300, ignore_eos=True, do_sample=False)
    engine = Engine(story, config_of(story))
    text = alone(story, "A", asked)
    streams = [engine.submit("A", asked) for _ in range(3)]
    assert not engine.drain(timeout=0.0)
    with pytest.raises(ClosedError, match="takes no more requests"):
        engine.submit("A")
    with pytest.raises(ClosedError):
        engine.call(gc.collect)
    assert engine.drain()
    assert [stream.finish() for stream in streams] == [text] * 3
    engine.stop()

    engine = Engine(story, config_of(story))
    streams = [engine.submit("A", asked) for _ in range(3)]
    assert next(streams[0]).token == text.logprobs[0]
    engine.stop()
    for stream in streams:
        with pytest.raises(ClosedError, match="stopped before"):
            stream.finish()
    streams[0].cancel()


def test_jobs_run_in_the_thread_of_the_model(story: TextModel) -> None:
    with Engine(story, config_of(story)) as engine:
        name = engine.call(lambda: threading.current_thread().name)
        assert name.result(5) == "glassformer-engine"
        failing = engine.call(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            failing.result(5)
        assert engine.submit("A", WAYS[0]).finish() == alone(story, "A", WAYS[0])


def test_texts_go_on_beside_jobs_without_end(story: TextModel) -> None:
    over = threading.Event()
    with Engine(story, config_of(story)) as engine:

        def again() -> None:
            if not over.is_set():
                engine.call(again)

        with standing(engine):
            stream = engine.submit("A", WAYS[0])
            again()
        steps: list[Step] = []
        ended = settled(lambda: steps.extend(stream.ready()) or stream.ended)  # type: ignore[func-returns-value]
        over.set()
        assert ended, f"{len(steps)} tokens came beside jobs"
        assert stream.finish() == alone(story, "A", WAYS[0])


def storm(story: TextModel) -> None:
    """Two hundred requests that are cancelled, some of them while they run, and one that is not."""
    asked = Asked(max_new_tokens=200, ignore_eos=True, do_sample=False)
    text = alone(story, STORY, asked)
    with Engine(story, config_of(story, blocks=40, running=8, waiting=300)) as engine:
        cancelled = [engine.submit(STORY * (n % 4), asked) for n in range(200)]
        quiet = engine.submit(STORY, asked, priority=-1)
        for n, stream in enumerate(cancelled):
            if n in (0, 3, 6):
                next(stream)
            stream.cancel()
        assert quiet.finish() == text
        assert settled(lambda: engine.metrics().running + engine.metrics().waiting == 0)
        metrics = engine.metrics()
        assert metrics.free_blocks + metrics.prefix_blocks == metrics.blocks
        assert metrics.finished + metrics.cancelled == metrics.submitted == 201
        with engine.submit("A", asked) as stream:
            next(stream)
        assert settled(lambda: engine.metrics().running == 0)


def test_a_storm_of_cancels_leaves_nothing_behind(story: TextModel) -> None:
    gc.collect()
    caches = sum(type(each) is KVCache for each in gc.get_objects())
    storm(story)
    gc.collect()
    assert not any(thread.name == "glassformer-engine" for thread in threading.enumerate())
    found = gc.get_objects()
    assert sum(type(each) is KVCache for each in found) == caches
    assert not any(type(each) is KVPool and each.blocks == 40 for each in found)


def test_idle_engines_use_no_time(story: TextModel) -> None:
    with Engine(story, config_of(story)) as engine:
        engine.submit("A", Asked(max_new_tokens=1)).finish()
        before = time.process_time()
        time.sleep(0.05)
        assert time.process_time() - before < 0.03


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(100.0)
    rate.add(10, 100.2)
    assert rate.per_second(100.5) == 20.0
    rate.add(30, 101.7)
    assert rate.per_second(102.0) == 20.0
    assert rate.per_second(110.5) == 4.0
    assert rate.per_second(111.5) == 3.0
    assert rate.per_second(150.0) == 0.0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_in_the_engine_leaves_nobody_waiting(story: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine(story, config_of(story, running=1)) as engine:
        with standing(engine):
            running, waiting = engine.submit("A"), engine.submit("A")
            monkeypatch.setattr(engine.batcher, "cancel", lambda _: 1 / 0)
            waiting.cancel()
            late, job = engine.submit("A"), engine.call(lambda: 1)
        for stream in (running, waiting, late):
            with pytest.raises(ServingError, match="broke: ZeroDivisionError"):
                stream.finish()
        with pytest.raises(CancelledFuture):
            job.result(5)
        assert settled(lambda: not engine.alive)
        with pytest.raises(ClosedError):
            engine.submit("A")
