"""The official client as programs use it: raw answers, its errors, time limits, retries, parsed classes, `async`."""

import asyncio
import threading

import pytest

pytest.importorskip("openai", reason="the official client drives the API")
pytest.importorskip("starlette", reason="needs the extra serve")

import numpy as np
import openai
import pydantic
from openai_server import running

import glassformer
from glassformer.generation.scheduler import Limits
from glassformer.server.openai.app import Doors

USER = [{"role": "user", "content": "Who is it?"}]
LONG = {"prompt": "Once upon a time", "max_tokens": 400, "extra_body": {"ignore_eos": True}}


@pytest.fixture(scope="module")
def server(story):
    with running(story, limits=Limits(running=1, waiting=2)) as found:
        yield found


@pytest.fixture(scope="module")
def client(server):
    with server.client() as found:
        yield found


def complete(client, **fields):
    return client.completions.create(**{"model": "story", "prompt": "Once", "max_tokens": 3} | fields)


def test_raw_answers_have_heads_and_parse_alike(client):
    raw = client.completions.with_raw_response.create(model="story", prompt="Once", max_tokens=3, temperature=0)
    assert raw.status_code == 200
    assert raw.headers["content-type"] == "application/json"
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.parse().choices[0].text == complete(client, temperature=0).choices[0].text
    with client.chat.completions.with_streaming_response.create(
        model="story", messages=USER, max_tokens=3, stream=True
    ) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert [*streamed.iter_lines()][-2] == "data: [DONE]"


WRONG = [
    (openai.BadRequestError, 400, {"prompt": [5000]}, None),
    (openai.BadRequestError, 400, {"prompt": "word " * 600}, "context_length_exceeded"),
    (openai.NotFoundError, 404, {"model": "gpt-4"}, "model_not_found"),
    (openai.UnprocessableEntityError, 422, {"temperature": 3}, None),
    (openai.UnprocessableEntityError, 422, {"extra_body": {"surprise": 1}}, None),
]


@pytest.mark.parametrize(("kind", "status", "fields", "code"), WRONG)
def test_errors_are_of_the_class_that_programs_catch(client, kind, status, fields, code):
    for more in ({}, {"stream": True}):
        with pytest.raises(kind) as caught:
            complete(client, **fields, **more)
        assert (caught.value.status_code, caught.value.code) == (status, code)
        assert caught.value.type == "invalid_request_error"
        assert len(caught.value.request_id) == 16


def test_addresses_that_are_not_there(client):
    for ask in (client.moderations.create, client.responses.create):
        with pytest.raises(openai.NotFoundError, match="there is nothing at"):
            ask(model="story", input="a")
    for wrong in (f"{client.base_url}v1/", str(client.base_url).removesuffix("v1/")):
        with pytest.raises(openai.NotFoundError, match="but at '/v1/completions'; OpenAI clients"):
            complete(client.with_options(base_url=wrong))


def test_a_method_that_is_not_taken(client):
    with pytest.raises(openai.APIStatusError, match="GET is not taken here, but POST") as caught:
        client.get("/completions", cast_to=object)
    assert (caught.value.status_code, caught.value.response.headers["allow"]) == (405, "POST")


def test_a_key_that_is_not_known(story):
    with running(story, doors=Doors(keys=["right"], inspect=False)) as server, server.client("wrong") as client:
        for more in ({}, {"stream": True}):
            with pytest.raises(openai.AuthenticationError):
                complete(client, **more)


def test_a_full_queue_is_a_rate_limit_and_trying_again_helps(server, client):
    gate = threading.Event()
    server.engine.call(lambda: gate.wait(10))
    streams = [complete(client, stream=True, **LONG) for _ in range(2)]
    with pytest.raises(openai.RateLimitError) as caught:
        complete(client)
    assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("queue_full", "1")
    gate.set()
    for stream in streams:
        stream.close()
    assert complete(client.with_options(max_retries=3)).usage.completion_tokens == 3
    assert server.idle()


def test_time_limits_of_the_client_free_the_slot(server, client):
    gate = threading.Event()
    server.engine.call(lambda: gate.wait(10))
    with pytest.raises(openai.APITimeoutError):
        complete(client, timeout=0.1)
    gate.set()
    assert server.idle()
    assert server.engine.metrics().cancelled > 0


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=12)
    age: int = pydantic.Field(ge=0, le=120)
    pet: str | None = pydantic.Field(max_length=5)


def test_classes_are_filled_in(client):
    answer = client.chat.completions.parse(model="story", messages=USER, response_format=Person, max_tokens=200, seed=1,
                                           temperature=2)  # fmt: skip
    person = answer.choices[0].message.parsed
    assert isinstance(person, Person)
    assert (answer.choices[0].finish_reason, answer.choices[0].message.refusal) == ("stop", None)
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="story", messages=USER, response_format=Person, max_tokens=3)
    with client.chat.completions.stream(model="story", messages=USER, response_format=Person, max_tokens=200, seed=1,
                                        temperature=2) as stream:  # fmt: skip
        assert stream.get_final_completion().choices[0].message.parsed == person


def test_a_text_that_breaks_in_the_middle_is_an_error_of_the_stream(story):
    model = glassformer.load()
    model.network.weights.wpe.data[30] = np.nan
    with running(model) as server, server.client() as client:
        parts, fields = [], {"prompt": [7] * 25, "max_tokens": 20, "temperature": 0, "extra_body": {"ignore_eos": True}}
        with pytest.raises(openai.APIError, match="logits"):
            parts.extend(complete(client, stream=True, **fields))
        assert 0 < len(parts) <= 6
        with pytest.raises(openai.InternalServerError) as caught:
            complete(client, **fields)
        assert (caught.value.status_code, caught.value.code) == (500, "logits")


def test_tools_are_refused_with_what_to_do_instead(client):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    with pytest.raises(openai.UnprocessableEntityError, match="calls no tools"):
        client.chat.completions.create(model="story", messages=USER, tools=tools)


def test_the_asynchronous_client_does_all_of_it(server):
    async def all_of_it():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            assert [model.id async for model in client.models.list()] == ["story"]
            assert len((await client.embeddings.create(model="story", input="a")).data[0].embedding) == 192
            whole = await client.completions.create(model="story", prompt="Once", max_tokens=5, seed=1)
            parts = await client.completions.create(model="story", prompt="Once", max_tokens=5, seed=1, stream=True)
            assert "".join([part.choices[0].text async for part in parts]) == whole.choices[0].text
            message = await client.chat.completions.create(model="story", messages=USER, max_tokens=5, seed=1)
            async with client.chat.completions.stream(model="story", messages=USER, max_tokens=5, seed=1) as stream:
                deltas = [event.delta async for event in stream if event.type == "content.delta"]
            assert "".join(deltas) == message.choices[0].message.content
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("other")
            task = asyncio.create_task(client.completions.create(model="story", **LONG))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(all_of_it())
    assert server.idle()
