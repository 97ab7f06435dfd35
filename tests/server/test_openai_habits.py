"""What clients send out of habit: taken where it changes nothing, refused by its name where it would have to."""

import pytest

pytest.importorskip("openai", reason="the official client drives the API")
pytest.importorskip("starlette", reason="needs the extra serve")

import openai

USER = [{"role": "user", "content": "hi"}]
ANYWHERE = {
    "user": "u1", "safety_identifier": "h", "prompt_cache_key": "k", "metadata": {"a": "b"}, "store": False,
    "service_tier": "auto",
}  # fmt: skip
OF_CHAT = {
    "tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "functions": [], "function_call": "none",
    "modalities": ["text"], "reasoning_effort": "low", "verbosity": "medium", "top_logprobs": 0,
    "prediction": {"type": "content", "content": "a"}, "response_format": {"type": "text"},
}  # fmt: skip
EVERY_NAME = (
    "frequency_penalty", "logit_bias", "logprobs", "n", "presence_penalty", "response_format", "seed", "stop",
    "stream", "stream_options", "temperature", "top_p", "user", "max_tokens", "metadata", "service_tier", "store",
)  # fmt: skip
ONLY_CHAT = ("max_completion_tokens", "tools", "tool_choice", "functions", "function_call", "top_logprobs", "audio")


@pytest.fixture(scope="module")
def client(server):
    with server.client() as found:
        yield found


def chat(client, **more):
    return client.chat.completions.create(model="story", messages=USER, seed=1, max_tokens=5, extra_body=more)


def complete(client, **more):
    return client.completions.create(model="story", prompt="Once", max_tokens=5, seed=1, extra_body=more)


def test_what_changes_nothing_is_taken(client):
    text, message = complete(client).choices[0].text, chat(client).choices[0].message.content
    ours = {"top_k": -1, "min_p": 0, "typical_p": 1, "repetition_penalty": 1, "logit_bias": {}, "stop": [],
            "presence_penalty": 0, "frequency_penalty": 0, "top_p": 1, "n": 1, "stream_options": {}}  # fmt: skip
    assert complete(client, **ANYWHERE, **ours, suffix="", best_of=1, echo=False).choices[0].text == text
    assert chat(client, **ANYWHERE, **ours, **OF_CHAT, logprobs=False).choices[0].message.content == message
    assert chat(client, max_completion_tokens=5).choices[0].message.content == message
    embedded = client.embeddings.create(model="story", input="a", extra_body=ANYWHERE | {"dimensions": None})
    assert len(embedded.data[0].embedding) == 192


def test_what_is_null_counts_as_absent(client):
    nothing = dict.fromkeys(EVERY_NAME) | {"seed": 1}
    assert complete(client, **dict.fromkeys(("suffix", "best_of", "echo")), **nothing | {"max_tokens": 5}) is not None
    assert chat(client, **dict.fromkeys(ONLY_CHAT), **nothing).usage.completion_tokens > 5


ASKING = {
    "store": [True, 0], "service_tier": ["flex", "priority", 5], "user": [5, {}], "metadata": ["a", []],
    "tools": [[{"type": "function", "function": {"name": "f"}}], {}], "tool_choice": ["required", {}],
    "functions": [[{"name": "f"}]], "function_call": [{"name": "f"}], "parallel_tool_calls": ["yes", 1],
    "modalities": [["text", "audio"], "text"], "reasoning_effort": ["very", 1], "verbosity": ["high"],
    "prediction": ["a"], "audio": [{"voice": "x"}], "web_search_options": [{}], "top_logprobs": [3],
}  # fmt: skip


@pytest.mark.parametrize("key", ASKING)
def test_what_asks_for_something_is_refused_by_name(client, key):
    for value in ASKING[key]:
        with pytest.raises((openai.UnprocessableEntityError, openai.BadRequestError)) as caught:
            chat(client, **{key: value})
        assert caught.value.param == key
        assert key in caught.value.message


def test_two_names_of_one_limit_have_to_agree(client):
    with pytest.raises(openai.BadRequestError, match="differ"):
        chat(client, max_completion_tokens=6)
    with pytest.raises(openai.UnprocessableEntityError, match="suffix"):
        complete(client, suffix=" end")


def test_an_answer_can_be_sent_back_as_it_came(client):
    first = chat(client).choices[0].message
    more = [*USER, first, {"role": "user", "content": "go on"}]
    others = {"provider_specific_fields": {"refusal": None}, "annotations": [], "tool_calls": None}  # as LiteLLM has it
    dumped = [*USER, first.model_dump() | others, {"role": "user", "content": "go on"}]
    answers = [client.chat.completions.create(model="story", messages=messages, seed=2, max_tokens=5)
               for messages in (more, dumped)]  # fmt: skip
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content
    with pytest.raises(openai.UnprocessableEntityError):
        chat(client, messages=[{"role": "assistant", "content": "a", "tool_calls": [{"id": "1"}]}])


def test_seeds_are_those_of_the_interface(client, story):
    for seed in (-1, -(2**63), 2**63 - 1):
        found = client.completions.create(model="story", prompt="Once", max_tokens=5, seed=seed, n=2)
        expected = [
            story.generate("Once", max_new_tokens=5, do_sample=True, seed=(seed + i) % 2**64).text for i in (0, 1)
        ]
        assert [each.text for each in found.choices] == expected


def test_what_is_too_long_or_no_prompt_is_said_by_its_name(client):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, messages=[{"role": "user", "content": "word " * 600}])
    assert (caught.value.param, caught.value.code) == ("messages", "context_length_exceeded")
    for value in (["word " * 600], [[5] * 600], "a" * 20_000):
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="story", input=value)
        assert (caught.value.param, caught.value.code) == ("input", "context_length_exceeded")
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="story", prompt=[5000])
    assert (caught.value.param, caught.value.code) == ("prompt", None)


def test_many_log_probabilities_are_written_alike_at_once_and_in_pieces_and_have_a_limit(client):
    asked = {"model": "story", "prompt": "Once", "n": 4, "seed": 5, "max_tokens": 60, "logprobs": 20, "echo": True}
    whole = client.completions.create(**asked)
    parts = [part.choices[0] for part in client.completions.create(**asked, stream=True)]
    for choice in whole.choices:
        mine = [part for part in parts if part.index == choice.index]
        assert "".join(part.text for part in mine) == choice.text
        found = [each for part in mine if part.logprobs for each in part.logprobs.top_logprobs]
        assert found == choice.logprobs.top_logprobs
    message = client.chat.completions.create(model="story", messages=USER, n=4, seed=5, max_tokens=60, logprobs=True,
                                             top_logprobs=20).choices[3]  # fmt: skip
    assert "".join(each.token for each in message.logprobs.content) == message.message.content
    for more in ({"n": 60}, {"prompt": ["a"] * 60}, {"best_of": 60}):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            client.completions.create(**asked | more)
        assert (caught.value.param, "1024" in caught.value.message) == ("logprobs", True)
    with pytest.raises(openai.UnprocessableEntityError):
        chat(client, n=60, logprobs=True, top_logprobs=20)
