"""Every parameter of every endpoint with values of every kind: answered or refused by name, and never a defect."""

import http.client
import json
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")
sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from openai_server import running

import glassformer
from glassformer.server.openai import chat, completion_request, embeddings

USER = [{"role": "user", "content": "hi"}]
ENDPOINTS = {
    "/v1/completions": ({"prompt": "a", "max_tokens": 1}, completion_request.KEYS),
    "/v1/chat/completions": ({"messages": USER, "max_tokens": 1}, chat.KEYS),
    "/v1/embeddings": ({"input": "a"}, embeddings.KEYS),
    "/tokenize": ({"prompt": "a"}, ("model", "prompt", "return_token_strs")),
    "/detokenize": ({"tokens": [71]}, ("model", "tokens")),
}
VALUES = [
    None, True, 0, -1, 1.0, 0.5, 1e300, 10**30, "", "1", "a" * 5000, "\x00\u202e\U0001f600", [], [None], [[]],
    [True], [10**30], {}, {"": None}, {"a": [{"b": []}]},
]  # fmt: skip
RAW = ["NaN", "Infinity", "-Infinity", "1e999", "0x10", "01", "+1", "1.", "'a'", "undefined", '"\\x41"', '"\t"', "[1,]",
       '{"a":1,"a":2}', "9" * 5000, "[" * 200 + "]" * 200, '"\\udc00"']  # fmt: skip
WHAT_ANSWERS_MAY_SAY = (200, 400, 404, 422)


@pytest.fixture(scope="module")
def connection():
    with running(glassformer.load()) as server:
        found = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        yield found
        found.close()
        assert server.idle()


def post(connection, path, body):
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    return answer.status, json.loads(data) if answer.headers["content-type"] == "application/json" else None


@pytest.mark.parametrize("path", ENDPOINTS)
def test_values_of_every_kind(connection, path):
    base, keys = ENDPOINTS[path]
    for key in keys:
        answers = set()
        for value in VALUES:
            start = time.monotonic()
            status, answer = post(connection, path, json.dumps(base | {key: value}))
            assert status in WHAT_ANSWERS_MAY_SAY, (key, value, answer)
            assert time.monotonic() - start < 3, (key, value)
            answers.add(status)
            if status != 200:
                error = answer["error"]
                assert error["type"] == "invalid_request_error"
                assert 10 < len(error["message"]) < 2000, (key, value)
                assert key in f"{error['param']} {error['message']}" or error["code"] == "constraint", (
                    key,
                    value,
                    error,
                )
        assert answers - {200}, f"{key} takes everything"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_what_is_no_json_anywhere(connection, path):
    base, keys = ENDPOINTS[path]
    for key in [*base, *keys[-2:]]:
        rest = json.dumps({name: value for name, value in base.items() if name != key})[1:-1]
        for raw in RAW:
            status, answer = post(connection, path, f'{{{rest}{", " if rest else ""}"{key}": {raw}}}')
            assert (status, answer["error"]["code"]) == (400, "json"), (key, raw, answer)
