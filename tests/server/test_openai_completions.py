"""/v1/completions, driven by the official client: what it writes is what the model writes alone."""

import asyncio
import math

import pytest

pytest.importorskip("openai", reason="the official client drives the API")
pytest.importorskip("starlette", reason="needs the extra serve")

import openai

PROMPT = "Once upon a time there was a little girl named Ivy. One day,"


@pytest.fixture(scope="module")
def client(server):
    with server.client() as found:
        yield found


def create(client, **fields):
    return client.completions.create(**{"model": "story", "prompt": PROMPT, "max_tokens": 12} | fields)


def test_greedy_text_is_the_models(client, story):
    answer = create(client, temperature=0)
    alone = story.generate(PROMPT, max_new_tokens=12, do_sample=False)
    assert answer.choices[0].text == alone.text
    assert answer.choices[0].finish_reason == alone.finish_reason
    assert (answer.object, answer.model) == ("text_completion", "story")
    assert answer.usage.completion_tokens == len(alone.ids)
    assert answer.usage.prompt_tokens == len(alone.prompt_ids)
    assert answer.usage.total_tokens == len(alone.ids) + len(alone.prompt_ids)


def test_parameters_reach_the_sampler(client, story):
    ours = {"top_k": 40, "min_p": 0.02, "typical_p": 0.95, "repetition_penalty": 1.2}
    answer = create(client, temperature=0.9, top_p=0.9, seed=7, presence_penalty=0.5, frequency_penalty=0.25,
                    logit_bias={"257": -100, "300": 3}, extra_body=ours)  # fmt: skip
    alone = story.generate(PROMPT, max_new_tokens=12, temperature=0.9, top_p=0.9, seed=7, presence_penalty=0.5,
                           frequency_penalty=0.25, logit_bias={257: -100, 300: 3}, **ours)  # fmt: skip
    assert answer.choices[0].text == alone.text


def test_without_a_temperature_tokens_are_drawn_as_recommended(client, story):
    assert (
        create(client, seed=3).choices[0].text == story.generate(PROMPT, max_new_tokens=12, do_sample=True, seed=3).text
    )
    assert len({create(client, max_tokens=30).choices[0].text for _ in range(3)}) > 1


def test_prompts_of_every_kind(client, story):
    ids = story.ids(PROMPT)
    text = story.generate(PROMPT, max_new_tokens=6, do_sample=False).text
    other = story.generate("The cat", max_new_tokens=6, do_sample=False).text
    for prompt in (PROMPT, [PROMPT], ids, [ids]):
        assert [each.text for each in create(client, prompt=prompt, max_tokens=6, temperature=0).choices] == [text]
    several = create(client, prompt=[PROMPT, "The cat"], max_tokens=6, temperature=0)
    assert [(each.index, each.text) for each in several.choices] == [(0, text), (1, other)]
    empty = create(client, prompt="", max_tokens=6, temperature=0).choices[0].text
    assert empty == story.generate("", max_new_tokens=6, do_sample=False).text


def test_several_choices_have_seeds_of_their_own(client, story):
    answer = create(client, n=3, seed=11, max_tokens=8)
    alone = [story.generate(PROMPT, max_new_tokens=8, do_sample=True, seed=seed).text for seed in (11, 12, 13)]
    assert [each.text for each in answer.choices] == alone


def test_best_of_gives_the_most_probable(client, story):
    answer = create(client, n=1, best_of=5, seed=11, max_tokens=8)
    alone = [story.generate(PROMPT, max_new_tokens=8, do_sample=True, seed=seed) for seed in range(11, 16)]
    means = [sum(each.logprob for each in one.logprobs) / len(one.logprobs) for one in alone]
    assert answer.choices[0].text == alone[means.index(max(means))].text
    assert len(answer.choices) == 1
    assert answer.usage.completion_tokens == sum(len(each.ids) for each in alone)


def test_stop_strings_and_ids(client, story):
    full = create(client, temperature=0, max_tokens=40).choices[0].text
    stop = full[15:18]
    cut = create(client, temperature=0, max_tokens=40, stop=[stop, "never"]).choices[0]
    assert (cut.text, cut.finish_reason) == (full[: full.index(stop)], "stop")
    third = story.generate(PROMPT, max_new_tokens=3, do_sample=False).ids[2]
    ended = create(client, temperature=0, logprobs=0, extra_body={"stop_token_ids": [third]}).choices[0]
    assert ended.finish_reason == "stop"
    assert "".join(ended.logprobs.tokens) == ended.text
    assert len(ended.logprobs.tokens) <= 2


def test_logprobs_with_echo_score_the_prompt(client, story):
    answer = create(client, temperature=0, echo=True, logprobs=3, max_tokens=4).choices[0]
    found = answer.logprobs
    assert answer.text.startswith(PROMPT)
    assert "".join(found.tokens) == answer.text
    assert [answer.text[at:].startswith(token) for at, token in zip(found.text_offset, found.tokens, strict=True)]
    assert found.text_offset == [len("".join(found.tokens[:i])) for i in range(len(found.tokens))]
    score = story.score(answer.text)
    assert found.token_logprobs[0] is None
    assert found.top_logprobs[0] is None
    assert found.token_logprobs[1:] == pytest.approx(score.logprobs, abs=1e-4)
    assert all(3 <= len(top) <= 4 for top in found.top_logprobs[1:])
    assert all(
        max(top.values()) <= 0 and math.fsum(map(math.exp, top.values())) <= 1.001 for top in found.top_logprobs[1:]
    )


def test_a_prompt_can_be_scored_alone(client):
    answer = create(client, echo=True, logprobs=0, max_tokens=0)
    assert answer.choices[0].text == PROMPT
    assert answer.usage.completion_tokens == 0
    assert len(answer.choices[0].logprobs.token_logprobs) == answer.usage.prompt_tokens


def test_bytes_that_are_no_characters_are_named(client, story):
    ids = story.ids("é")
    assert len(ids) == 2
    answer = create(client, prompt=ids, echo=True, logprobs=0, max_tokens=0).choices[0]
    assert answer.logprobs.tokens == ["bytes:\\xc3", "bytes:\\xa9"]
    assert answer.text == "é"


def test_a_stream_is_the_answer_in_pieces(client):
    whole = create(client, n=2, seed=5, prompt=[PROMPT, "The cat"], echo=True, logprobs=1, stop=".", max_tokens=30)
    parts = list(create(client, n=2, seed=5, prompt=[PROMPT, "The cat"], echo=True, logprobs=1, stop=".", max_tokens=30,
                        stream=True, stream_options={"include_usage": True}))  # fmt: skip
    assert len({(part.id, part.created, part.model, part.object) for part in parts}) == 1
    assert parts[-1].choices == []
    assert parts[-1].usage == whole.usage
    assert all(part.usage is None for part in parts[:-1])
    for choice in whole.choices:
        mine = [part.choices[0] for part in parts[:-1] if part.choices[0].index == choice.index]
        assert "".join(each.text for each in mine) == choice.text
        assert [each.finish_reason for each in mine[:-1]] == [None] * (len(mine) - 1)
        assert mine[-1].finish_reason == choice.finish_reason
        for name in ("tokens", "token_logprobs", "text_offset"):
            joined = [value for each in mine if each.logprobs for value in getattr(each.logprobs, name)]
            assert joined == getattr(choice.logprobs, name), name


def test_without_usage_a_stream_says_none(client):
    parts = list(create(client, stream=True, max_tokens=3))
    assert all(part.usage is None and len(part.choices) == 1 for part in parts)


def test_the_context_window_ends_a_text(client, story):
    ids = [5] * (story.config.n_positions - 2)
    answer = create(client, prompt=ids, max_tokens=100, temperature=0, extra_body={"ignore_eos": True})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3
    with pytest.raises(openai.BadRequestError) as caught:
        create(client, prompt=[5] * (story.config.n_positions + 1))
    assert caught.value.code == "context_length_exceeded"
    assert "513" in str(caught.value)


def test_streams_beside_each_other_are_what_each_is_alone(server, story):
    prompts = [PROMPT, "The cat", "Once upon a time", "One day, Tom"] * 3

    async def written(client, seed, prompt):
        parts = await client.completions.create(model="story", prompt=prompt, seed=seed, max_tokens=20, temperature=1,
                                                stream=True)  # fmt: skip
        return "".join([part.choices[0].text async for part in parts])

    async def together():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(written(client, seed, prompt) for seed, prompt in enumerate(prompts)))

    alone = [story.generate(prompt, seed=seed, max_new_tokens=20, temperature=1) for seed, prompt in enumerate(prompts)]
    assert asyncio.run(together()) == [each.text for each in alone]


def test_a_stream_that_is_closed_ends_its_request(server, client):
    before = server.engine.metrics().cancelled
    stream = create(client, stream=True, max_tokens=400, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    assert server.idle()
    assert server.engine.metrics().cancelled == before + 1
