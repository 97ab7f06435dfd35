"""Results of lines: those of each line by itself, to the bit, whatever is done beside it."""

import json
import math
from dataclasses import replace

import pytest
from batch_cases import PROMPTS, lines_of, results_of, several_lines

from glassformer.batch.identity import identity_of
from glassformer.batch.lines import digest_of
from glassformer.batch.local import Load
from glassformer.batch.terms import Terms
from glassformer.generation.asked import Asked
from glassformer.generation.constraints.constraint import Regex
from glassformer.generation.errors import LogitsError, OptionsError
from glassformer.generation.serving import Engine

TERMS = Terms(asked=Asked(max_new_tokens=14, temperature=0.9), seed=5)


def test_generated_lines_are_those_of_generate(story):
    values = several_lines(24)
    found = results_of(story, lines_of(*values), TERMS)
    assert [each["line"] for each in found] == list(range(1, 25))
    for number, (line, each) in enumerate(zip(values, found, strict=True)):
        asked = {"max_new_tokens": 14, "temperature": 0.9, "seed": 5 + number}
        wishes = {key: value for key, value in line.items() if key not in ("prompt", "id", "custom_id")}
        if "logit_bias" in wishes:
            wishes["logit_bias"] = {13: -5.0}
        if "constraint" in wishes:
            wishes["constraint"] = Regex(wishes["constraint"]["regex"])
        alone = story.generate(line["prompt"], **(asked | wishes))
        assert (each["text"], each["ids"], each["finish_reason"]) == (alone.text, alone.ids, alone.finish_reason)
        assert (each["seed"], each["prompt_tokens"]) == (alone.seed, len(alone.prompt_ids))
        assert each["digest"] == digest_of(json.dumps(line).encode())
        assert (each["id"], each.get("custom_id")) == (line["id"], line.get("custom_id"))
        logprobs = [step["logprob"] for step in each.get("logprobs", [])]
        assert logprobs == ([step.logprob for step in alone.logprobs] if "logprobs" in line else [])


def test_how_many_are_done_at_once_changes_no_byte(story):
    data = lines_of(*several_lines(12))
    wanted = results_of(story, data, TERMS, Load(running=1))
    block = story.network.layout.block_stride  # type: ignore[attr-defined]
    for load in (Load(running=5), Load(running=64), Load(running=8, cache_bytes=3 * block)):
        assert results_of(story, data, TERMS, load) == wanted


def test_a_line_counts_more_than_the_terms(story):
    data = lines_of(
        {"prompt": "Once", "temperature": 1.0, "seed": 2}, {"prompt": "Once"}, {"prompt": "Once", "stop": None}
    )
    found = results_of(story, data, Terms(asked=Asked(do_sample=False, max_new_tokens=20)))
    drawn = story.generate("Once", temperature=1.0, seed=2, max_new_tokens=20)
    greedy = story.generate("Once", do_sample=False, max_new_tokens=20)
    assert [each["ids"] for each in found] == [drawn.ids, greedy.ids, greedy.ids]
    assert [each["seed"] for each in found] == [2, None, None]


def test_the_highest_seed_is_followed_by_the_lowest(story):
    found = results_of(story, lines_of({"prompt": "a"}, {"prompt": "a"}), replace(TERMS, seed=2**64 - 1))
    assert [each["seed"] for each in found] == [2**64 - 1, 0]


def test_scores_are_those_of_score(story):
    texts = ["Once upon a time there was a cat. " * (1 + n % 8) for n in range(16)]
    texts[7] = "The cat sat. " * 90  # longer than what is read at once
    found = results_of(story, lines_of(*({"text": text} for text in texts)), Terms("score"))
    for text, each in zip(texts, found, strict=True):
        alone = story.score(text)
        assert each["logprobs"] == [None, *alone.logprobs]
        assert (each["perplexity"], each["total"], each["ids"]) == (alone.perplexity, alone.total, alone.ids)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_embeddings_are_those_of_embed(story, pooling):
    texts = [prompt * (1 + n % 7) for n, prompt in enumerate(PROMPTS * 6) if prompt]
    found = results_of(story, lines_of(*({"text": text} for text in texts)), Terms("embed", pooling=pooling))
    for text, each in zip(texts, found, strict=True):
        alone = story.embed(text, pooling=pooling)
        assert each["embedding"] == alone.tolist()
        assert each["prompt_tokens"] == len(story.ids(text))


def test_a_bad_line_among_texts_is_the_only_one_that_fails(story):
    texts = [{"text": "The cat sat."}] * 20
    for task, bad, message in (
        ("score", {"text": "a"}, "a score needs at least 2 tokens and got 1"),
        ("embed", {"text": ""}, "the text is empty"),
        ("score", {"ids": [5] * 600}, "600"),
        ("embed", {"ids": [5, 99999]}, "holds id 99999 at place 1"),
    ):
        found = results_of(story, lines_of(*texts, bad, *texts), Terms(task))
        failed = [each for each in found if "error" in each]
        assert [each["line"] for each in failed] == [21]
        assert message in failed[0]["error"]["message"]


@pytest.mark.parametrize(("task", "key"), [("generate", "prompt"), ("score", "text"), ("embed", "text")])
def test_what_is_no_object_is_shown_one_that_its_task_takes(story, task, key):
    (found,) = results_of(story, b"Once upon a time\n", Terms(task))
    example = found["error"]["message"].partition("each line is an object like ")[2]
    assert json.loads(example) == {key: "Once upon a time"}
    assert "error" not in results_of(story, example.encode(), Terms(task))[0]


def test_logits_without_a_choice_fail_their_line_alone(story, monkeypatch):
    submit = Engine.submit

    def broken(self, prompt, asked, **others):
        stream = submit(self, prompt, asked, **others)
        if prompt == "The cat sat on":
            stream.put(LogitsError("NaN"))
        return stream

    monkeypatch.setattr(Engine, "submit", broken)
    found = results_of(story, lines_of(*({"prompt": prompt} for prompt in PROMPTS)), TERMS)
    assert [each.get("error") for each in found] == [None, {"type": "LogitsError", "message": "NaN"}, None, None, None]


def test_what_is_infinite_becomes_null(story, monkeypatch):
    monkeypatch.setattr("glassformer.generation.score.perplexity", lambda total, count: math.inf)
    assert results_of(story, lines_of({"text": "The cat"}), Terms("score"))[0]["perplexity"] is None


def test_terms_that_no_line_can_have_are_refused_at_once(story):
    with pytest.raises(OptionsError, match="stop_ids names id 5000"):
        results_of(story, b"", Terms(asked=Asked(stop_ids=[5000])))


def test_models_are_told_apart_by_what_they_compute_and_know(story, monkeypatch):
    import glassformer

    known = identity_of(story)
    assert identity_of(glassformer.load(threads=1)) == known
    assert identity_of(glassformer.load(dtype="q8")) != known
    monkeypatch.setattr(story, "recommended", replace(story.recommended, temperature=0.7))
    assert identity_of(story) != known
    monkeypatch.undo()
    monkeypatch.setattr(story, "tokenizer", None)
    assert identity_of(story) != known
