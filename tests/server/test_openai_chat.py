"""/v1/chat/completions, driven by the official client."""

import pytest

pytest.importorskip("openai", reason="the official client drives the API")
pytest.importorskip("starlette", reason="needs the extra serve")

import openai
from openai_server import running

from glassformer.server.openai.chat import NO_TEMPLATE

PARTS = [{"type": "text", "text": "Once "}, {"type": "text", "text": "upon"}]
MESSAGES = [{"role": "system", "content": " Tell a story. "}, {"role": "user", "content": PARTS}]
WRITTEN = "SYSTEM: Tell a story.\nUSER: Once upon\nASSISTANT:"


@pytest.fixture(scope="module")
def client(story):
    with running(story) as server, server.client() as found:
        yield found


@pytest.fixture
def prompt(story):
    """What the template makes of the messages."""
    return [story.tokenizer.special_tokens["<|endoftext|>"], *story.ids(WRITTEN)]


def create(client, **fields):
    return client.chat.completions.create(**{"model": "story", "messages": MESSAGES, "max_tokens": 10} | fields)


def test_the_answer_is_what_follows_the_written_conversation(client, story, prompt):
    answer = create(client, temperature=0)
    alone = story.generate(prompt, max_new_tokens=10, do_sample=False)
    assert answer.object == "chat.completion"
    message = answer.choices[0].message
    assert (message.role, message.content) == ("assistant", alone.text)
    assert answer.choices[0].finish_reason == alone.finish_reason
    assert answer.usage.prompt_tokens == len(prompt)
    assert answer.usage.completion_tokens == len(alone.ids)
    newer = client.chat.completions.create(model="story", messages=MESSAGES, max_completion_tokens=10, temperature=0)
    assert newer.choices[0].message.content == alone.text


def test_logprobs_have_names_bytes_and_leaders(client, story, prompt):
    choice = create(client, temperature=0, logprobs=True, top_logprobs=2).choices[0]
    alone = story.generate(prompt, max_new_tokens=10, do_sample=False, logprobs=2)
    for found, expected in zip(choice.logprobs.content, alone.logprobs, strict=True):
        assert bytes(found.bytes) == story.tokenizer.token_bytes(expected.id)
        assert found.logprob == pytest.approx(expected.logprob)
        assert [each.logprob for each in found.top_logprobs] == pytest.approx([each for _, each in expected.top])
    assert "".join(each.token for each in choice.logprobs.content) == choice.message.content


def test_a_stream_begins_with_the_role_and_ends_with_a_reason(client):
    whole = create(client, n=2, seed=9, logprobs=True)
    parts = list(create(client, n=2, seed=9, logprobs=True, stream=True, stream_options={"include_usage": True}))
    assert len({(part.id, part.created, part.object) for part in parts}) == 1
    assert parts[0].object == "chat.completion.chunk"
    assert (parts[-1].choices, parts[-1].usage) == ([], whole.usage)
    for choice in whole.choices:
        mine = [part.choices[0] for part in parts[:-1] if part.choices[0].index == choice.index]
        assert mine[0].delta.role == "assistant"
        assert all(each.delta.role is None for each in mine[1:])
        assert "".join(each.delta.content or "" for each in mine) == choice.message.content
        assert mine[-1].finish_reason == choice.finish_reason
        assert (mine[-1].delta.content, mine[-1].delta.role) == (None, None)
        assert all(each.finish_reason is None for each in mine[:-1])
        found = [one.token for each in mine if each.logprobs for one in each.logprobs.content]
        assert found == [one.token for one in choice.logprobs.content]


@pytest.mark.parametrize("messages", [
    [], [1], [{"role": "user"}], [{"role": "robot", "content": "a"}], [{"role": "user", "content": 5}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}],
    [{"role": "user", "content": "a", "name": "x" * 65}], [{"role": "user", "content": "a", "template": "{{ x }}"}],
])  # fmt: skip
def test_messages_of_a_wrong_kind(client, messages):
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        create(client, messages=messages)
    assert caught.value.param.startswith("messages")


def test_templates_come_from_model_files_and_never_from_requests(client):
    with pytest.raises(openai.UnprocessableEntityError):
        create(client, extra_body={"chat_template": "{{ messages }}"})


def test_without_a_template_the_error_says_what_to_do(story):
    with running(story, template=False) as server, server.client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            create(client)
        assert caught.value.code == "no_chat_template"
        assert NO_TEMPLATE in str(caught.value)
