"""The engine: each request gets the tokens that it gets alone, whatever comes, goes or waits beside it."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import glassformer
from glassformer.generation import batcher
from glassformer.generation.asked import Asked
from glassformer.generation.continuation import Continuation, Generation, Step
from glassformer.generation.errors import ContextError, GenerationError, LogitsError, OptionsError, PromptError
from glassformer.generation.live_stream import LiveStream
from glassformer.generation.model import TextModel
from glassformer.generation.scheduler import Limits, Scheduler
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
from glassformer.introspect.interventions import Scale
from glassformer.runtime.kv_cache import BLOCK_TOKENS, KVCache, KVPool

STORY = "One day, Tom and his friend Lily went to the park. They saw a big red ball in the tree. "
REPEAT = "Tom had a red ball. Tom had a red ball. Tom had a red ball. "
PROMPTS = [STORY * 5 + "Tom", STORY * 5 + "Lily", "A", STORY, REPEAT * 2, "", STORY * 4 + REPEAT, "The cat sat on"]
WAYS = [
    Asked(do_sample=False, max_new_tokens=40, ignore_eos=True),
    Asked(seed=3, temperature=0.8, top_p=0.9, max_new_tokens=25),
    Asked(seed=4, temperature=0.9, logprobs=2, max_new_tokens=13),
    Asked(do_sample=False, repetition_penalty=1.3, max_new_tokens=30),
    Asked(seed=5, stop=".", max_new_tokens=60),
]


@pytest.fixture(scope="module", params=["f32", "q8"])
def story(request: pytest.FixtureRequest) -> TextModel:
    return glassformer.load(dtype=request.param)


@pytest.fixture(scope="module", params=[("f32", "f32"), ("f32", "q8"), ("q8", "f32"), ("q8", "q8")], ids="-".join)
def expected(request: pytest.FixtureRequest) -> tuple[TextModel, list[tuple[str, Asked, Generation]]]:
    """A model, and what it says to each prompt alone."""
    weights, cache = request.param
    model = glassformer.load(dtype=weights, cache_dtype=cache)
    pairs = [(PROMPTS[i % len(PROMPTS)], WAYS[(i // 2) % len(WAYS)]) for i in range(16)]
    return model, [(prompt, asked, alone(model, prompt, asked)) for prompt, asked in pairs]


def alone(model: TextModel, prompt: Any, asked: Asked) -> Generation:
    return model.generate(prompt, **vars(asked))


def config_of(model: TextModel, blocks: int = 200, prefix_blocks: int | None = None, **limits: int) -> ServingConfig:
    """A memory of so many blocks."""
    stride = model.network.layout.block_stride  # type: ignore[attr-defined]
    kept = None if prefix_blocks is None else prefix_blocks * stride
    return ServingConfig(Limits(**limits), cache_bytes=blocks * stride, prefix_bytes=kept)


def settled(found: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether something becomes true in a while."""
    end = time.monotonic() + seconds
    while not found() and time.monotonic() < end:
        time.sleep(0.002)
    return found()


@contextmanager
def standing(engine: Engine) -> Iterator[None]:
    """Let an engine stand still, so that what is asked of it within the block comes at the same moment."""
    event, stands = threading.Event(), threading.Event()
    engine.call(lambda: (stands.set(), event.wait(10)))
    assert stands.wait(5)
    try:
        yield
    finally:
        event.set()


@pytest.mark.parametrize("turn", range(4))
def test_tokens_are_those_of_the_request_alone(
    expected: tuple[TextModel, list[tuple[str, Asked, Generation]]], turn: int
) -> None:
    """At random joins, cancels, sizes of pieces, with little memory and much, with and without known prefixes."""
    model, texts = expected
    draw = random.Random(turn)
    config = config_of(
        model, blocks=draw.choice([9, 12, 60]), prefix_blocks=draw.choice([None, None, 0, 4]),
        running=draw.choice([2, 5, 16]), prompt_tokens=draw.choice([17, 100, 512]),
        shared_prompt_tokens=draw.choice([5, 64, 128]),
    )  # fmt: skip
    with Engine(model, config) as engine:
        streams = []
        for prompt, asked, text in draw.sample(texts, len(texts)) + draw.sample(texts, 8):
            streams.append((engine.submit(prompt, asked), text))
            if draw.random() < 0.3:
                time.sleep(draw.random() * 0.01)
            if draw.random() < 0.2:
                draw.choice(streams)[0].cancel()
        ended = cancelled = 0
        for stream, text in streams:
            try:
                assert stream.finish() == text
                ended += 1
            except CancelledError:
                cancelled += 1
        metrics = engine.metrics()
        assert (metrics.finished, metrics.cancelled, metrics.failed) == (ended, cancelled, 0)
        assert ended > 10
        assert metrics.free_blocks + metrics.prefix_blocks == metrics.blocks


def test_little_memory_takes_back_what_it_gave_and_changes_nothing(story: TextModel) -> None:
    asked = [Asked(seed=n, temperature=0.9, max_new_tokens=120, ignore_eos=True) for n in range(4)]
    texts = [alone(story, STORY, each) for each in asked]
    for kept in (None, 0):
        with Engine(story, config_of(story, blocks=5, prefix_blocks=kept)) as engine:
            with standing(engine):
                streams = [engine.submit(STORY, each) for each in asked]
            assert [stream.finish() for stream in streams] == texts
            assert engine.metrics().preempted > 0


def test_a_known_prefix_is_not_read_again(story: TextModel) -> None:
    prompt = story.ids(STORY * 5)
    asked = Asked(do_sample=False, max_new_tokens=5)
    text = alone(story, prompt, asked)
    with Engine(story, config_of(story)) as engine:
        assert engine.submit(prompt, asked).finish() == text
        assert engine.metrics().known_tokens == 0
        assert engine.submit(prompt, asked).finish() == text
        blocks = (len(prompt) - 1) // BLOCK_TOKENS
        assert engine.metrics().known_tokens == blocks * BLOCK_TOKENS > 0
        together = [engine.submit([9, *prompt], asked) for _ in range(6)]
        assert len({tuple(stream.finish().ids) for stream in together}) == 1
        assert engine.metrics().known_tokens == 6 * blocks * BLOCK_TOKENS
    with Engine(story, config_of(story)) as engine:  # whole blocks: the last token is read again, for its logits
        found = [engine.submit(prompt[:128], asked).finish() for _ in range(3)]
        assert found[0] == found[1] == found[2] == alone(story, prompt[:128], asked)
        assert engine.metrics().known_tokens == 2 * 64
    with Engine(story, config_of(story, prefix_blocks=0)) as engine:
        assert [engine.submit(prompt, asked).finish() for _ in range(2)] == [text, text]
        assert engine.metrics().known_tokens == 0


def test_guesses_within_a_batch_change_no_token(story: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tokens are guessed right and some wrong."""
    asked = Asked(do_sample=False, max_new_tokens=40, ignore_eos=True)
    prompts = [STORY * 3, REPEAT, "A"]
    texts = [alone(story, prompt, replace(asked, speculate=False)) for prompt in prompts]
    answers = {tuple(text.prompt_ids): text.ids for text in texts}

    def guesses(text: Continuation) -> list[int]:
        known, place = answers[tuple(text.prompt)], len(text.generated)
        right = known[place : place + place % 4] if place else []
        return [*right, 1, 2][: text.left - 1] if place % 3 else []

    monkeypatch.setattr(Continuation, "draft", guesses)
    monkeypatch.setattr(batcher, "DRAFTING", 3)
    monkeypatch.setattr(batcher, "WORTH", 0.0)
    with Engine(story, config_of(story)) as engine:
        streams = [engine.submit(prompt, asked) for prompt in prompts]
        assert [stream.finish() for stream in streams] == texts
        metrics = engine.metrics()
        assert metrics.drafted > metrics.accepted > 20
    assert sum(len(text.ids) for text in texts) == metrics.generated_tokens


def test_edited_models_are_served_and_share_nothing(story: TextModel) -> None:
    model = story.edited(Scale("z", 0.0, layer=0, head=0, position=-1))  # type: ignore[attr-defined]
    asked = Asked(do_sample=False, max_new_tokens=8)
    prompts = [STORY * 3, STORY * 3 + "Tom", "A"]
    texts = [alone(model, prompt, asked) for prompt in prompts]
    with Engine(model, config_of(story, prompt_tokens=30, shared_prompt_tokens=20)) as engine:
        streams = [engine.submit(prompt, asked) for prompt in prompts * 2]
        assert [stream.finish() for stream in streams] == texts * 2
        assert engine.metrics().known_tokens == 0


def test_nan_ends_the_request_that_meets_it_and_no_other() -> None:
    model = glassformer.load()
    model.network.weights.wpe.data[20] = np.nan  # type: ignore[attr-defined]
    short, long = Asked(do_sample=False, max_new_tokens=8), Asked(do_sample=False, max_new_tokens=40, ignore_eos=True)
    texts = [alone(model, prompt, short) for prompt in ("A", "The cat")]
    with Engine(model, config_of(model)) as engine:
        streams = [engine.submit(*each) for each in (("A", short), ("A dog", long), ("The cat", short), ("A", long))]
        assert [streams[0].finish(), streams[2].finish()] == texts
        for stream in (streams[1], streams[3]):
            with pytest.raises(LogitsError, match="logits for position 2"):
                stream.finish()
        with pytest.raises(LogitsError):  # alone, in a stride
            engine.submit("A dog", long).finish()
        assert engine.submit("A", short).finish() == texts[0]
        assert (engine.metrics().failed, engine.metrics().finished) == (3, 3)


def test_a_pass_that_breaks_ends_its_requests_and_the_engine_lives(
    story: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(story, config_of(story)) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(type(story.network), "forward_batch", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                engine.submit("A").finish()
        assert engine.submit("A", WAYS[0]).finish() == alone(story, "A", WAYS[0])
        assert engine.metrics().free_blocks + engine.metrics().prefix_blocks == engine.metrics().blocks


def test_a_request_that_never_goes_on_is_ended_rather_than_waited_for(
    story: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scheduler, "_decoding", lambda _: iter(()))
    with (
        Engine(story, config_of(story)) as engine,
        engine.submit("A", WAYS[0]) as stream,
        pytest.raises(ServingError, match="mistake in the engine"),
    ):
        stream.finish()


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
        assert ends == [2] * 5 + [1] * 5 + [0] * 5, "lower numbers come first"
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
    assert sum(isinstance(each, KVCache) for each in found) == caches
    assert not any(isinstance(each, KVPool) and each.blocks == 40 for each in found)


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
