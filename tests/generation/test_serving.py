"""The engine: each request gets the tokens that it gets alone, whatever comes, goes or waits beside it."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import numpy as np
import pytest
from serving_cases import STORY, WAYS, alone, config_of, standing

import glassformer
from glassformer.generation import batcher
from glassformer.generation.asked import Asked
from glassformer.generation.continuation import Continuation, Generation
from glassformer.generation.errors import LogitsError
from glassformer.generation.model import TextModel
from glassformer.generation.scheduler import Scheduler
from glassformer.generation.serving import Engine
from glassformer.generation.serving_errors import (
    CancelledError,
    ServingError,
)
from glassformer.introspect.interventions import Scale
from glassformer.runtime.kv_cache import BLOCK_TOKENS

REPEAT = "Tom had a red ball. Tom had a red ball. Tom had a red ball. "
PROMPTS = [STORY * 5 + "Tom", STORY * 5 + "Lily", "A", STORY, REPEAT * 2, "", STORY * 4 + REPEAT, "The cat sat on"]


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
