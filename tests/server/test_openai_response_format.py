"""`response_format`, driven by the official client: what is written is what was asked for, at any temperature."""

import json
import re

import pytest

pytest.importorskip("openai", reason="the official client drives the API")
pytest.importorskip("starlette", reason="needs the extra serve")

import openai

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 10},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "user", "content": "Who is it?"}]


@pytest.fixture(scope="module")
def client(server):
    with server.client() as found:
        yield found


def test_a_schema_holds_for_every_choice(client):
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
    answer = client.chat.completions.create(model="story", messages=MESSAGES, n=4, seed=1, temperature=2,
                                            max_tokens=60, response_format=form)  # fmt: skip
    for choice in answer.choices:
        found = json.loads(choice.message.content)
        assert set(found) == {"name", "age"}
        assert 0 <= found["age"] <= 99
        assert choice.finish_reason == "stop"


def test_an_object_comes_as_a_stream(client):
    parts = client.chat.completions.create(model="story", messages=MESSAGES, seed=2, temperature=1, max_tokens=80,
                                           response_format={"type": "json_object"}, stream=True)  # fmt: skip
    assert isinstance(json.loads("".join(part.choices[0].delta.content or "" for part in parts)), dict)


@pytest.mark.parametrize(("form", "pattern"), [
    ({"type": "regex", "pattern": "[0-9]{2}:[0-9]{2}"}, "[0-9]{2}:[0-9]{2}"), ({"type": "text"}, ".*"),
    ({"type": "choice", "choices": [" yes", " no"]}, " yes| no"),
])  # fmt: skip
def test_texts_are_held_too(client, form, pattern):
    answer = client.completions.create(model="story", prompt="It is", seed=3, temperature=1.5,
                                       extra_body={"response_format": form})  # fmt: skip
    assert re.fullmatch(pattern, answer.choices[0].text, re.DOTALL)


def test_what_is_not_supported_is_refused_with_its_place(client):
    schema = {"type": "object", "properties": {"a": {"type": "number", "multipleOf": 3}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="story", messages=MESSAGES, response_format={
            "type": "json_schema", "json_schema": {"name": "a", "schema": schema}})  # fmt: skip
    assert (caught.value.param, caught.value.code) == ("response_format", "constraint")
    assert "#/properties/a" in str(caught.value)
