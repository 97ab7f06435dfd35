"""Streams that come and go at random, with everything on at once: each is what it is alone, to the bit."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "generation"))

from serving_cases import STORY, alone, config_of

import glassformer
from glassformer import JsonSchema, Regex
from glassformer.generation import batcher
from glassformer.generation.asked import Asked
from glassformer.generation.continuation import Continuation, Generation
from glassformer.generation.serving import Engine
from glassformer.generation.serving_errors import CancelledError
from glassformer.generation.speculative import Costs
from glassformer.model import Model

PERSON = JsonSchema({
    "type": "object", "properties": {"name": {"type": "string", "maxLength": 9}, "age": {"type": "integer"}},
    "required": ["name", "age"],
})  # fmt: skip
PENALTIES = {"repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": 0.3, "logit_bias": {300: 2.0}}
WAYS = {
    "greedy, penalties": Asked(do_sample=False, logprobs=3, max_new_tokens=30, **PENALTIES),
    "drawn, filters, penalties": Asked(
        seed=3, temperature=0.9, top_k=50, top_p=0.95, min_p=0.01, typical_p=0.97, logprobs=2, max_new_tokens=30,
        bad_words=["cat"], **PENALTIES,
    ),
    "drawn, a schema": Asked(seed=4, temperature=1.5, constraint=PERSON, logprobs=1, max_new_tokens=40),
    "greedy, a pattern": Asked(do_sample=False, constraint=Regex(r"( [a-z]{2,6}){4,9}\."), max_new_tokens=40),
    "drawn, a stop": Asked(seed=5, temperature=0.7, stop=["and", "."], max_new_tokens=50),
    "drawn, cold": Asked(seed=6, temperature=0.3, ignore_eos=True, max_new_tokens=40),
}  # fmt: skip
PROMPTS = ["Once upon a time", STORY * 4, STORY * 4 + "Tom", "The cat sat. The cat sat. The cat", ""]


@pytest.fixture(scope="module")
def story() -> Model:
    return glassformer.load(dtype="q8")


@pytest.fixture(scope="module")
def texts(story: Model) -> list[tuple[str, Asked, Generation]]:
    """What the model says to each prompt in each way, alone and without guesses."""
    pairs = [
        (PROMPTS[(place + turn) % len(PROMPTS)], way) for place, way in enumerate(WAYS.values()) for turn in (0, 1)
    ]
    return [(prompt, way, alone(story, prompt, replace(way, speculate=False))) for prompt, way in pairs]


@pytest.fixture
def doubtful(texts: list[tuple[str, Asked, Generation]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses for all texts of a batch, some of them right and some wrong."""
    answers = {(tuple(text.prompt_ids), way.seed, way.logprobs): text.ids for _, way, text in texts}

    def guesses(text: Continuation) -> list[int]:
        place = len(text.generated)
        known = next((ids for (prompt, _, _), ids in answers.items() if prompt == tuple(text.prompt)
                      and ids[:place] == text.generated), [])  # fmt: skip
        return [*known[place : place + place % 4], 1, 2][: text.left - 1] if place % 3 else []

    monkeypatch.setattr(Continuation, "draft", guesses)
    monkeypatch.setattr(batcher, "DRAFTING", 99)
    monkeypatch.setattr(batcher, "WORTH", 0.0)


@pytest.mark.parametrize("turn", [0, 1, *(pytest.param(turn, marks=pytest.mark.slow) for turn in range(2, 12))])
def test_every_text_is_what_it_is_alone(
    story: Model, texts: list[tuple[str, Asked, Generation]], doubtful: None, turn: int
) -> None:
    draw = random.Random(turn)
    config = config_of(
        story, blocks=draw.choice([10, 16, 80]), prefix_blocks=draw.choice([None, 0, 4]),
        running=draw.choice([2, 5, 12]), prompt_tokens=draw.choice([17, 100, 512]),
        shared_prompt_tokens=draw.choice([5, 64, 128]),
    )  # fmt: skip
    with Engine(story, config) as engine:
        streams = []
        for prompt, way, text in draw.sample(texts, len(texts)) + draw.sample(texts, 6):
            streams.append((engine.submit(prompt, way), text))
            time.sleep(draw.choice([0, 0, 0.004]))
            if draw.random() < 0.2:
                draw.choice(streams)[0].cancel()
        ended = 0
        for stream, text in streams:
            try:
                assert stream.finish() == text
                ended += 1
            except CancelledError:
                pass
        metrics = engine.metrics()
        assert ended >= 9
        assert metrics.drafted > metrics.accepted > 10
        assert metrics.free_blocks + metrics.prefix_blocks == metrics.blocks


@pytest.mark.parametrize("way", [Asked(do_sample=False), Asked(seed=1, temperature=0.5)], ids=["greedy", "drawn"])
def test_a_text_that_repeats_is_guessed_unless_somebody_asks_not_to(
    story: Model, way: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Costs, "note", lambda costs, rows, seconds: None)  # passes cost what is assumed of them
    prompt, again = "Tom had a red ball." * 3, Regex(r"(Tom had a red ball\.){9}")
    way = replace(way, max_new_tokens=120, constraint=again)
    with Engine(story, config_of(story)) as engine:
        plain = engine.submit(prompt, replace(way, speculate=False)).finish()
        assert engine.metrics().drafted == 0
        assert engine.submit(prompt, way).finish() == plain
        metrics = engine.metrics()
        assert metrics.drafted >= metrics.accepted > 10
