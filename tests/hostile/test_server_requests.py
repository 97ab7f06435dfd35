"""Requests that make no sense, to every endpoint: each is refused in one shape, and the next one is answered."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")
pytest.importorskip("httpx", reason="sends what the official client would not")
sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

import httpx
from openai_server import running

import glassformer


@pytest.fixture(scope="module")
def server():
    with running(glassformer.load()) as found:
        yield found


@pytest.fixture(scope="module")
def plain(server):
    with httpx.Client(base_url=server.url, timeout=20) as found:
        yield found


@pytest.fixture(autouse=True)
def lives(server, plain):
    """Whatever a test does, the next request is answered, and no slot is taken."""
    yield
    assert server.idle()
    answer = plain.post("/v1/completions", json={"prompt": "Once", "max_tokens": 2})
    assert (answer.status_code, answer.json()["usage"]["completion_tokens"]) == (200, 2)


BROKEN = [b"", b"{", b"[]", b"null", b"\xff", b'{"prompt": "a", "prompt": "b"}', b'{"prompt": NaN}', b"[" * 100_000,
          b'{"seed": 1e999}', b'{"prompt": "\\ud800"}', b'{"seed": ' + b"1" * 5000 + b"}", b'{"x": 1} x']  # fmt: skip
ENDPOINTS = ("/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize", "/detokenize")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_bodies_that_are_not_json_objects(plain, path):
    for data in BROKEN:
        answer = plain.post(path, content=data, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500, data[:40]
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    for kind in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded"):
        assert plain.post(path, content=b"{}", headers={"content-type": kind}).status_code == 415
    assert plain.get(path).status_code == 405
    assert plain.delete(path).status_code == 405


def schema(value):
    return {"type": "json_schema", "json_schema": {"schema": value}}


FORMATS = [
    5, {}, {"type": "xml"}, {"type": "text", "x": 1}, {"type": "json_schema"},
    {"type": "json_schema", "json_schema": 5}, schema(5), schema({"$ref": "/"}), schema(False),
    schema({"type": "string", "contentEncoding": "base64", "if": {}}), {"type": "regex", "pattern": "("},
    {"type": "regex", "pattern": 5}, {"type": "regex", "pattern": "(a{1000}){1000}"}, {"type": "choice", "choices": []},
    {"type": "choice", "choices": [1]}, {"type": "choice", "choices": "abc"}, {"type": [], "choices": []},
]  # fmt: skip
WRONG = {
    "prompt": [None, 5, {}, [], [[]] * 200, ["a", [1]], [1.5], [True], [-1], [2048], [2**70], ["a"] * 129, [None],
               "word " * 600, [5] * 513, [[[1]]]],
    "max_tokens": [0, -1, 1.5, "5", True, 2**70, {}],
    "n": [0, -1, 129, 1.0, "1", True], "best_of": [0, 129, "2", True],
    "temperature": [-0.1, 2.1, "1", True, [], 1e300], "top_p": [0, -0.1, 1.1, "1", True], "min_p": [-1, 2, "x"],
    "typical_p": [-1, 2, True], "top_k": [-2, 2049, 1.5, "1", True], "repetition_penalty": [0, -1, 1e9, "1"],
    "presence_penalty": [-2.1, 2.1, "x"], "frequency_penalty": [-2.1, 2.1, []],
    "logit_bias": [[], 5, "x", {"a": 1}, {"-1": 1}, {"2048": 1}, {"1": 101}, {"1": "x"}, {"1": True}, {"1.5": 1},
                   {"²": 1}, {str(i): 0 for i in range(5000)}],
    "seed": [-(2**63) - 1, 2**63, 1.5, "1", True], "stop": [5, "", [""], ["a"] * 65, "a" * 1001, [1], {}, [None]],
    "stop_token_ids": [5, [-1], [2048], [1.5], ["a"], [1] * 65, {}], "ignore_eos": [1, "true"], "echo": [1, "x"],
    "logprobs": [-1, 21, True, 1.5, "1"], "stream": [1, "true", {}],
    "stream_options": [5, {"include_usage": True}, {"x": 1}, []], "model": [5, [], {}, True], "surprise": [1],
    "suffix": ["x"], "response_format": FORMATS, "__class__": [1],
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_every_parameter_out_of_range(plain, key):
    for value in WRONG[key]:
        answer = plain.post("/v1/completions", json={"prompt": "a", "max_tokens": 1} | {key: value})
        assert answer.status_code in ((400, 404, 422) if value is not None else (422,)), (value, answer.text[:200])
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert 10 < len(error["message"]) < 1000


CHAT = {"messages": [5, {}, "hi", [None]], "max_completion_tokens": [0, "5"], "top_logprobs": [1, 21],
        "logprobs": [5, 1], "tools": [[{}]], "functions": [[{}]], "n": [0]}  # fmt: skip
OTHERS = [("/v1/embeddings", {"input": None}), ("/v1/embeddings", {"input": [5] * 513}),
          ("/v1/embeddings", {"input": "a", "encoding_format": ""}), ("/v1/embeddings", {"input": "a", "pooling": 1}),
          ("/v1/embeddings", {"input": "a", "dimensions": 0}), ("/tokenize", {}), ("/tokenize", {"prompt": 5}),
          ("/tokenize", {"prompt": "a", "x": 1}), ("/detokenize", {"tokens": [1.5]}), ("/detokenize", {"tokens": "a"}),
          ("/detokenize", {"tokens": [-1]}), ("/detokenize", {"tokens": [True]})]  # fmt: skip


def test_other_endpoints_out_of_range(plain):
    good = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    wrong = [("/v1/chat/completions", good | {key: value}) for key, values in CHAT.items() for value in values]
    for path, value in (*wrong, *OTHERS):
        answer = plain.post(path, json=value)
        assert answer.status_code in (400, 422), (path, value)
        assert answer.json()["error"]["type"] == "invalid_request_error"


NAMES = ["../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x", "\\\\host\\share",
         "a" * 100_000, "story\x00", "Story", "", "~root", "gpt2", "%2e%2e", "C:\\x"]  # fmt: skip


def test_names_of_models_are_names_and_nothing_else(plain, monkeypatch):
    monkeypatch.setattr("glassformer.models.locate.locate", None)  # nobody may look anything up
    for name in NAMES:
        answer = plain.post("/v1/completions", json={"model": name, "prompt": "a"})
        assert (answer.status_code, answer.json()["error"]["code"]) in ((404, "model_not_found"), (422, None)), name
        assert len(answer.content) < 1000
    for path in ("..%2f..%2fetc/passwd", "file:///etc/passwd", "%2e%2e/x", "a" * 9000, "%00", "story%2f"):
        assert plain.get(f"/v1/models/{path}").status_code == 404
