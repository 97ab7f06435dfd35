"""The server of the page against requests that nobody should send: each is answered, and the next one is served."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")
sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from inspect_client import END, Client

import glassformer
from glassformer.server import body
from glassformer.server.app import inspect_app
from glassformer.server.inspect.session import Session

API = "/api/inspect"
JSON = [("content-type", "application/json")]


@pytest.fixture(scope="module")
def client():
    return Client(inspect_app(Session(glassformer.load(), "story")))


@pytest.fixture(scope="module")
def run(client):
    return client.post(f"{API}/runs", {"text": "Once upon a time"}).json["run"]


@pytest.fixture(autouse=True)
def lives(client):
    """Whatever a test does, the server goes on."""
    yield
    assert client.post(f"{API}/runs", {"text": "Once upon a time"}).status == 200


HOSTS = [["evil.example"], ["127.0.0.1.evil.example"], ["localhost@evil.example:80"], [""], ["[::2]"], ["127.0.0."],
         ["127.0.0.1", "evil.example"], ["x" * 9000]]  # fmt: skip


@pytest.mark.parametrize("hosts", HOSTS, ids=lambda hosts: hosts[-1][:30])
def test_other_hosts_are_refused(client, hosts):
    for path in ("/", f"{API}/model"):
        answer = client.request("GET", path, headers=[("host", host) for host in hosts])
        assert answer.status == 403
        assert answer.error["code"] == "host"
        assert len(answer.body) < 1000


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:9"])
def test_pages_of_other_origins_are_refused(client, origin):
    answer = client.request("POST", f"{API}/runs", b'{"text": "hello"}', headers=[*JSON, ("origin", origin)])
    assert answer.status == 403
    own = client.request("POST", f"{API}/runs", b'{"text": "a"}', headers=[*JSON, ("origin", "http://127.0.0.1:8000")])
    assert own.status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_bodies_of_other_kinds_are_refused(client, kind):
    answer = client.request("POST", f"{API}/runs", b'{"text": "a"}', headers=[("content-type", kind)])
    assert (answer.status, answer.error["type"]) == (415, "invalid_request_error")


def test_giant_bodies_are_refused_before_and_while_they_come(client):
    said = client.request("POST", f"{API}/runs", headers=[*JSON, ("content-length", "9" * 30)])
    assert said.status == 413
    silent = client.request("POST", f"{API}/runs", *[b" " * (1 << 20)] * 6, headers=JSON)
    assert silent.status == 413


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"text": "a", "text": "b"}', b'{"text": NaN}',
                                  b'{"begin": 1e999, "text": "a"}', b'{"text": "\\ud800"}', b"[" * 100_000,
                                  b'{"ids": [' + b"1" * 5000 + b"]}", b'{"text": "a"} x'])  # fmt: skip
def test_bodies_that_are_not_json_objects(client, data):
    answer = client.request("POST", f"{API}/runs", data, headers=JSON)
    assert 400 <= answer.status < 500
    assert answer.error["type"] == "invalid_request_error"


WRONG = [
    {"text": "a", "run": "feed"}, {"run": 5}, {"run": "feed", "changes": []},
    {}, {"text": 5}, {"text": None}, {"text": "a", "ids": [1]}, {"ids": "abc"}, {"ids": [1.5]}, {"ids": [True]},
    {"ids": [-1]}, {"ids": [2048]}, {"ids": [2**70]}, {"ids": [[1]]}, {"ids": {"0": 1}}, {"text": "a", "begin": 1},
    {"text": "a", "begin": "true"}, {"text": "a", "surprise": 1}, {"text": "word " * 600}, {"ids": [0] * 513},
    {"text": "a" * 300_000}, {"ids": [0] * 70_000}, {"text": "a", "interventions": {}},
    {"text": "a", "interventions": [1]}, {"text": "a", "interventions": [{"kind": "zero"}]},
    {"text": "a", "interventions": [{"kind": "exec", "site": "hook_embed"}]},
    {"text": "a", "interventions": [{"kind": "zero", "site": "blocks.99.hook_resid_pre"}]},
    {"ids": [1], "interventions": [{"kind": "add", "site": "hook_embed", "value": {"shape": [2**40], "float32": ""}}]},
    {"text": "a", "interventions": [{"kind": "scale", "site": "hook_embed", "factor": "2"}]},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: json.dumps(wrong)[:50])
def test_runs_of_a_wrong_kind(client, wrong):
    answer = client.post(f"{API}/runs", wrong)
    assert 400 <= answer.status < 500
    assert answer.error["type"] == "invalid_request_error"
    assert len(answer.body) < 2000


QUERIES = [
    ("logits", "position=0"), ("logits", "run=../../etc/passwd&position=0"), ("logits", "run={run}&position=-1"),
    ("logits", "run={run}&position=4"), ("logits", "run={run}&position=1e3"), ("logits", "run={run}&position=0x1"),
    ("logits", "run={run}&position=" + "9" * 400), ("logits", "run={run}&position=١"),
    ("logits", "run={run}&position="), ("logits", "run={run}&position=0&position=1"),
    ("logits", "run={run}&position=0&extra=1"), ("array", "run={run}&site=/etc/passwd"),
    ("array", "run={run}&site=blocks.*.hook_resid_pre"), ("array", "run={run}&site=hook_embed&head=0"),
    ("array", "run={run}&site=blocks.0.attn.hook_q&head=6"), ("array", "run={run}&site=hook_embed&rows=0&columns=5"),
    ("array", "run={run}&site=hook_embed&rows=5"), ("attention/head", "run={run}&layer=6&head=0&size=9"),
    ("attention/head", "run={run}&layer=0&head=-1&size=9"), ("attention/head", "run={run}&layer=0&head=0&size=99999"),
    ("attention/head", "run={run}&layer=0&head=0&size=9&view=x"),
    ("attention/row", "run={run}&layer=0&head=0&position=99"), ("attention/thumbnails", "run={run}&view="),
    ("lens", "run={run}&begin=2&end=2"), ("lens", "run={run}&begin=0&end=5"),
    ("lens", "run={run}&begin=0&end=2&follow=2048"), ("attribution", "run={run}&position=0&token=5000&against=1"),
    ("attribution", "run={run}&position=0&token=1&against=2&unit=x"), ("firing", "run={run}&position=44"),
    ("neuron", "run={run}&layer=0&neuron=768"), ("neuron/tokens", "layer=0"), ("head_scores", "kind=__import__"),
    ("assembly", "operation=x"), ("model", "verbose=1"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "query"), QUERIES)
def test_queries_of_a_wrong_kind(client, run, path, query):
    answer = client.request("GET", f"{API}/{path}", query=query.format(run=run))
    assert answer.status in (400, 404, 422)
    assert answer.error["type"] == "invalid_request_error"


CHANGES = [
    {"mode": "zero"}, {"mode": "exec", "part": "mlp", "layer": 0}, {"mode": "zero", "part": "head", "layer": 0},
    {"mode": "zero", "part": "head", "layer": 0, "head": 6}, {"mode": "zero", "part": "mlp", "layer": -1},
    {"mode": "zero", "part": "mlp", "layer": True}, {"mode": "scale", "part": "mlp", "layer": 0, "factor": 1e9},
    {"mode": "zero", "part": "mlp", "layer": 0, "position": 4}, {"mode": "zero", "part": "mlp", "layer": 0, "x": 1}, 7,
    {"mode": "patch", "part": "mlp", "layer": 0},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: json.dumps(change))
def test_changes_of_a_wrong_kind(client, run, change):
    answer = client.post(f"{API}/interventions", {"run": run, "changes": [change], "other": "Once upon"})
    assert answer.status in (400, 422)
    assert answer.error["message"]
    assert client.post(f"{API}/runs", {"run": run, "changes": [change], "other": "Once upon"}).status == answer.status


def test_sweeps_and_measurements_out_of_range(client, run):
    sweep = {"run": run, "other": "Once upon a day", "site": "z", "over": "head", "token": 1, "against": 2}
    for wrong in ({"site": "../z"}, {"over": "layer"}, {"token": 1.0}, {"site": "resid_pre"}, {"other": ["a"]}):
        assert client.post(f"{API}/sweep", sweep | wrong).status == 422, wrong
    for count in (0, 257, "4", None, True):
        assert client.post(f"{API}/ledger", {"run": run, "new_tokens": count}).status == 422


PATHS = ["/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/web/inspect/main.js", "/__init__.py",
         "/main.js/", "/.", "/index.html\x00", f"{API}/", f"{API}/nothing"]  # fmt: skip
METHODS = [("DELETE", "/"), ("POST", "/"), ("GET", f"{API}/runs"), ("PUT", f"{API}/runs"), ("TRACE", "/"),
           ("OPTIONS", f"{API}/runs")]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_reaches_the_file_system(client, path):
    answer = client.request("GET", path)
    assert answer.status == 404
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(("method", "path"), METHODS)
def test_methods_that_are_not_taken(client, method, path):
    answer = client.request(method, path)
    assert answer.status == 405
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_that_comes_too_slowly(client, monkeypatch):
    monkeypatch.setattr(body, "MOST_SECONDS", 0.05)
    waits = {"type": "http.request", "body": b'{"text": ', "more_body": True}
    answer = client.request("POST", f"{API}/runs", waits, headers=JSON)
    assert answer.status == 408


def test_clients_that_leave(client):
    half = {"type": "http.request", "body": b'{"text": ', "more_body": True}
    assert client.request("POST", f"{API}/runs", half, END, headers=JSON).error["code"] == "gone"

    async def leave() -> int:
        data = json.dumps({"ids": [3] * 400}).encode()
        found = await client.exchange("POST", f"{API}/runs", data, headers=JSON, before_end=0.0)
        return found.status

    assert asyncio.run(leave()) in (200, 409)


def test_a_defect_is_an_error_and_not_the_end(client, monkeypatch):
    from glassformer.server.inspect import texts

    def broken(session, asked):
        raise RuntimeError("a defect")

    monkeypatch.setattr(texts, "asked_ids", broken)
    answer = client.post(f"{API}/runs", {"text": "a"})
    assert (answer.status, answer.error["type"]) == (500, "server_error")
    monkeypatch.undo()
