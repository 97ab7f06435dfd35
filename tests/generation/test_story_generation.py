"""Generation from end to end, with the model that comes inside the package."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import glassformer
from glassformer.generation.errors import ContextError
from glassformer.generation.model import TextModel
from glassformer.models.locate import EMBEDDED
from glassformer.simd.target import TARGET_VARIABLE, runnable_targets

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden_story.json").read_text(encoding="utf8"))
START = "Once upon a time"


@pytest.fixture(scope="module")
def story() -> TextModel:
    return glassformer.load()


def test_the_golden_file_belongs_to_these_weights() -> None:
    digest = hashlib.sha256((EMBEDDED / "model.safetensors").read_bytes()).hexdigest()
    assert digest == GOLDEN["weights"], "the weights changed: run tests/generation/make_story_golden.py"


@pytest.mark.parametrize("case", GOLDEN["greedy"], ids=lambda case: str(case["prompt"]))
def test_greedy_text_is_that_of_the_reference(story: TextModel, case: dict[str, Any]) -> None:
    found = story.generate(case["prompt"], do_sample=False, max_new_tokens=len(case["ids"]))
    assert found.ids == case["ids"]
    assert found.text == glassformer.Tokenizer.load(EMBEDDED).decode(case["ids"])


@pytest.mark.parametrize("case", GOLDEN["sampled"], ids=lambda case: f"seed{case['options']['seed']}")
def test_a_seed_gives_the_same_tokens_everywhere(story: TextModel, case: dict[str, Any]) -> None:
    found = story.generate(START, max_new_tokens=len(case["ids"]), **case["options"])
    assert found.ids == case["ids"]
    assert found.seed == case["options"]["seed"]


@pytest.mark.parametrize("target", runnable_targets())
def test_every_processor_level_gives_the_same_bits(
    story: TextModel, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = story.generate(START, seed=6, max_new_tokens=12, logprobs=4)
    monkeypatch.setenv(TARGET_VARIABLE, target)
    assert glassformer.load().generate(START, seed=6, max_new_tokens=12, logprobs=4) == wanted


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_number_of_threads_gives_the_same_bits(story: TextModel, threads: int) -> None:
    wanted = story.generate(START, seed=6, max_new_tokens=12, logprobs=4)
    assert glassformer.load(threads=threads).generate(START, seed=6, max_new_tokens=12, logprobs=4) == wanted


def test_by_default_it_samples_a_story_to_its_end(story: TextModel) -> None:
    found = story.generate(START, seed=1)
    assert found.finish_reason == "stop"
    assert found.ids[-1] == story.config.eos_token_id
    assert len(found.text.split()) > 50
    assert "<|endoftext|>" not in found.text
    assert found != story.generate(START, seed=2)


def test_streaming_gives_the_same_text(story: TextModel) -> None:
    for seed in range(3):
        stream = story.stream(START, seed=seed, max_new_tokens=50, temperature=1.5)
        pieces = list(stream)
        assert "".join(pieces) == stream.result.text
        assert stream.result == story.generate(START, seed=seed, max_new_tokens=50, temperature=1.5)
        assert len(pieces) > 20


def test_stop_strings_in_real_text(story: TextModel) -> None:
    whole = story.generate(START, seed=1).text
    for stop in (".", "\n", whole[20:33], "and"):
        assert story.generate(START, seed=1, stop=stop).text == whole[: whole.index(stop)]
        assert "".join(story.stream(START, seed=1, stop=stop)) == whole[: whole.index(stop)]


def test_logprobs_agree_with_the_score_bit_for_bit(story: TextModel) -> None:
    found = story.generate(START, seed=5, max_new_tokens=40, logprobs=3)
    scored = story.score(found.prompt_ids + found.ids)
    assert [token.logprob for token in found.logprobs] == scored.logprobs[len(found.prompt_ids) - 1 :]


def test_the_context_window_ends_a_continuation(story: TextModel) -> None:
    window = story.config.n_positions
    prompt = (story.ids(START + " there was a cat. ") * window)[: window - 3]
    found = story.generate(prompt, ignore_eos=True, max_new_tokens=100, seed=1)
    assert (found.finish_reason, len(found.ids)) == ("length", 4)
    with pytest.raises(ContextError, match=rf"{window + 1} tokens .* holds {window}"):
        story.generate([1] * (window + 1))


def test_stories_are_more_probable_than_their_words_in_disorder(story: TextModel) -> None:
    text = "Once upon a time there was a little girl who lived in a house near the forest."
    disorder = "forest the near house a in lived who girl little a was there time a upon Once."
    assert story.score(text).perplexity < 20 < story.score(disorder).perplexity


def test_an_empty_prompt_begins_a_story(story: TextModel) -> None:
    assert story.generate("", seed=1, max_new_tokens=30).text[0].isupper()
