"""Who may come in: keys, hosts, origins; and how errors look from outside."""

import json

import pytest

pytest.importorskip("openai", reason="the official client drives the API")
pytest.importorskip("httpx", reason="sends what the official client would not")
pytest.importorskip("starlette", reason="needs the extra serve")

import httpx
import openai
from openai_server import running

from glassformer.server.openai.access import Access, as_json, as_text
from glassformer.server.openai.app import Doors
from glassformer.server.openai.keys import Keys

ORIGIN = "https://example.com"


@pytest.fixture(scope="module")
def server(story):
    with running(story, doors=Doors(origins=[ORIGIN], keys=["first-key", "second-key"], inspect=False)) as found:
        yield found


@pytest.fixture(scope="module")
def plain(server):
    with httpx.Client(base_url=server.url) as found:
        yield found


@pytest.mark.parametrize("key", ["first-key", "second-key"])
def test_each_key_opens(server, key):
    with server.client(key) as client:
        assert client.models.list().data[0].id == "story"


@pytest.mark.parametrize("key", ["first-ke", "first-key2", "FIRST-KEY", "first-key,second-key", "x"])
def test_other_keys_do_not(server, key):
    with server.client(key) as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert key not in str(caught.value)


WITHOUT = [{}, *({"authorization": each} for each in ("first-key", "Basic first-key", "Bearer", b"Bearer \xff")),
           [("authorization", "Bearer first-key")] * 2]  # fmt: skip
CLOSED = [("POST", "/v1/completions"), ("GET", "/metrics"), ("POST", "/tokenize"), ("GET", "/v1/nothing"),
          ("GET", "/inspect/"), ("GET", "/api/inspect/model")]  # fmt: skip


@pytest.mark.parametrize("headers", WITHOUT)
def test_without_a_key_only_health_and_the_page_are_open(plain, headers):
    for method, path in CLOSED:
        answer = plain.request(method, path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["type"] == "authentication_error"
    for path in ("/", "/health", "/playground.js"):
        assert plain.get(path, headers=headers).status_code == 200


def test_keys_are_compared_as_digests_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    keys = Keys(None, ["one", "two", "three"], [])
    assert keys.known(b"Bearer one")
    assert not keys.known(b"Bearer four")
    assert len(compared) == 6, "all keys are compared, whichever was right"
    assert {len(part) for pair in compared for part in pair} == {32}


def test_pages_of_an_allowed_origin_may_ask(plain):
    asked = {"origin": ORIGIN, "access-control-request-method": "POST",
             "access-control-request-headers": "authorization,content-type"}  # fmt: skip
    before = plain.options("/v1/completions", headers=asked)
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in before.headers["access-control-allow-headers"]
    headers = {"origin": ORIGIN, "authorization": "Bearer first-key"}
    answer = plain.get("/v1/models", headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
    other = plain.get("/v1/models", headers=headers | {"origin": "https://example.com.evil.example"})
    assert other.status_code == 403
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
def test_other_hosts_are_refused_before_all_else(plain, host):
    answer = plain.get("/health", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host")


def test_every_answer_has_an_id_that_the_client_knows(server):
    with server.client("first-key") as client:
        raw = client.models.with_raw_response.list()
    assert len(raw.headers["x-request-id"]) == 16


def test_log_lines_hold_no_lines_of_others(capsys):
    access = Access(0.0, "a" * 16, "127.0.0.1", "GET", "/x\n127.0.0.1 GET /forged 200 \x1b[2J", 404, 5, 0.25)
    as_text(access)
    as_json(access)
    text, parsed = capsys.readouterr().err.splitlines()
    assert "\x1b" not in text
    assert text.endswith(f"404 5 B 0.250 s {'a' * 16}")
    assert json.loads(parsed) == {"time": 0.0, "request": "a" * 16, "client": "127.0.0.1", "method": "GET",
                                  "path": access.path, "status": 404, "bytes": 5, "seconds": 0.25}  # fmt: skip
