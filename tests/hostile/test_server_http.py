"""HTTP as it is not meant: two lengths, odd addresses and names, encodings. What is answered, and that it goes on."""

import gzip
import json
import socket
import sys
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra serve")
sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from openai_server import running

import glassformer

JSON = b"host: localhost\r\ncontent-type: application/json\r\n"
BODY = b'{"prompt":"hi"}'
CHUNKS = b'5\r\n{"pro\r\na\r\nmpt":"hi"}\r\n0\r\n\r\n'
LENGTH, CHUNKED = b"content-length: 15\r\n", b"transfer-encoding: chunked\r\n"


@pytest.fixture(scope="module")
def server():
    with running(glassformer.load()) as found:
        yield found


@pytest.fixture
def ask(server):
    """Sends bytes on a connection of its own and gives each answer: status, headers, body; None: it was closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:

        def answers(data, count=1, head=False):
            connection.sendall(data)
            return [read(connection, head) for _ in range(count)]

        yield answers


def read(connection, head=False):
    data = b""
    while b"\r\n\r\n" not in data:
        if not (byte := connection.recv(1)):
            return None
        data += byte
    lines = data.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    length, body = 0 if head else int(headers.get("content-length", 0)), b""
    while len(body) < length and (part := connection.recv(length - len(body))):
        body += part
    return int(lines[0].split()[1]), headers, body


def post(head, body=BODY, path=b"/tokenize", first=JSON, version=b"HTTP/1.1"):
    return b"POST " + path + b" " + version + b"\r\n" + first + head + b"\r\n" + body


def get(path=b"/health", host=b"host: localhost\r\n", method=b"GET", version=b"HTTP/1.1", more=b""):
    return method + b" " + path + b" " + version + b"\r\n" + host + more + b"\r\n"


def kind(value, body=BODY, more=b""):
    return post(b"content-length: %d\r\n" % len(body) + more, body, first=b"host: localhost\r\n" + value)


ANSWERED = {
    "chunks": (200, post(CHUNKED, CHUNKS)),
    "chunks with extensions and trailers": (200, post(CHUNKED, CHUNKS.replace(b"5", b"5;a=b")[:-2] + b"x: y\r\n\r\n")),
    "one length twice": (200, post(LENGTH * 2)),
    "two lengths": (400, post(LENGTH + b"content-length: 5\r\n")),
    "a length with a sign": (400, post(b"content-length: +15\r\n")),
    "a length in another base": (400, post(b"content-length: 0xf\r\n")),
    "a space before the colon": (400, post(b"content-length : 15\r\n")),
    "no length": (400, post(b"", b"")),
    "chunks by another name": (400, post(b"transfer-encoding: xchunked\r\n", CHUNKS)),
    "compressed chunks": (400, post(b"transfer-encoding: gzip, chunked\r\n", CHUNKS)),
    "an upgrade": (200, get(more=b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n")),
    "a header with a NUL": (400, get(more=b"x: a\x00b\r\n")),
    "HTTP/1.0": (200, post(LENGTH, version=b"HTTP/1.0")),
    "HTTP/1.0 without a host": (403, get(host=b"", version=b"HTTP/1.0")),
    "HTTP/0.9": (400, b"GET /health\r\n\r\n"),
    "HTTP/2": (403, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "no host": (400, get(host=b"")),
    "two hosts": (400, get(host=b"host: localhost\r\n" * 2)),
    "an empty host": (403, get(host=b"host:\r\n")),
    "a host with a port": (200, get(host=b"host: localhost:1\r\n")),
    "a host in capitals": (200, get(host=b"host: LOCALHOST:80\r\n")),
    "an IPv6 host": (200, get(host=b"host: [::1]:80\r\n")),
    "an IPv6 host without brackets": (403, get(host=b"host: ::1\r\n")),
    "a host with a dot behind it": (403, get(host=b"host: localhost.\r\n")),
    "a host with a user": (403, get(host=b"host: localhost@evil.example\r\n")),
    "a host whose port is a word": (403, get(host=b"host: localhost:evil.example\r\n")),
    "a page of another origin": (403, get(more=b"origin: http://evil.example\r\n")),
    "a page of no origin": (403, get(more=b"origin: null\r\n")),
    "a page of this server": (200, get(more=b"origin: http://localhost\r\n")),
    "a page of another port": (403, get(more=b"origin: http://localhost:81\r\n")),
    "what browsers ask first": (403, get(b"/tokenize", method=b"OPTIONS", more=b"origin: http://evil.example\r\n"
                                         b"access-control-request-method: POST\r\n")),
    "OPTIONS": (405, get(b"/v1/completions", method=b"OPTIONS")),
    "OPTIONS of everything": (404, get(b"*", method=b"OPTIONS")),
    "TRACE": (405, get(b"/", method=b"TRACE")),
    "CONNECT": (404, get(b"evil.example:80", method=b"CONNECT")),
    "a method that nobody knows": (405, get(b"/v1/models", method=b"A!B")),
    "an address with a host": (404, get(b"http://evil.example/health")),
    "an address with dots": (404, get(b"/v1/../health")),
    "an address out of the root": (404, get(b"/../../etc/passwd")),
    "encoded letters": (200, get(b"/%68ealth")),
    "encoded dots": (404, get(b"/%2e%2e/%2e%2e/etc/passwd")),
    "encodings of nothing": (404, get(b"/%zz%ff%00%0d%0a%1b[2J")),
    "two slashes": (404, get(b"//health")),
    "a query": (200, get(b"/health?x=%00&x=1")),
    "an address of many bytes": (404, get(b"/" + b"a" * 20_000)),
    "a charset": (200, kind(b"content-type: Application/JSON; charset=UTF-8\r\n")),
    "another charset": (400, kind(b"content-type: application/json; charset=utf-16\r\n",
                            '{"prompt":""}'.encode("utf-16"))),
    "no content type": (415, kind(b"")),
    "another content type": (415, kind(b"content-type: application/jsonl\r\n")),
    "a compressed body": (415, kind(b"content-type: application/json\r\n", gzip.compress(BODY),
                                    b"content-encoding: gzip\r\n")),
    "a byte order mark": (400, kind(b"content-type: application/json\r\n", b"\xef\xbb\xbf" + BODY)),
    "bytes that are no UTF-8": (400, kind(b"content-type: application/json\r\n", b'{"prompt":"\xff"}')),
    "bytes of a surrogate": (400, kind(b"content-type: application/json\r\n", b'{"prompt":"\xed\xa0\x80"}')),
    "half a pair": (400, kind(b"content-type: application/json\r\n", b'{"prompt":"\\ud800"}')),
    "a pair": (200, kind(b"content-type: application/json\r\n", b'{"prompt":"\\ud83d\\ude00\\u0000"}')),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERED)
def test_each_has_one_answer(ask, name):
    status, data = ANSWERED[name]
    ((found, headers, body),) = ask(data)
    assert found == status, body
    if status >= 400:
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
        assert len(body) < 1000
    if not (status == 400 and headers.get("connection") == "close") and b"HTTP/1.0" not in data and b"/2.0" not in data:
        assert ask(get())[0][0] == 200, "the connection goes on"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/detokenize"])
@pytest.mark.parametrize("where", [
    '"user": %s', '"stop": [%s]', '"messages": [{"role": "user", "content": %s}]', '"metadata": {%s: 1}', '"input": %s',
])  # fmt: skip
def test_half_a_pair_anywhere_is_refused(ask, path, where):
    body = b"{%s}" % (where % r'"a\ud800b"').encode()
    ((status, _, answer),) = ask(post(b"content-length: %d\r\n" % len(body), body, path.encode()))
    assert (status, json.loads(answer)["error"]["code"]) == (400, "json")


def test_two_ways_to_say_where_a_request_ends_close_the_connection(ask):
    """A server in front of this one may believe the other header, and what follows would be somebody else's request."""
    hidden = get(b"/v1/models")
    (status, headers, body), second = ask(post(CHUNKED + b"content-length: 4\r\n", CHUNKS + hidden), 2)
    assert (status, headers["connection"], second) == (400, "close", None)
    assert "Transfer-Encoding" in json.loads(body)["error"]["message"]


def test_requests_behind_each_other_are_answered_in_their_order(ask):
    texts = [b'{"prompt":"%s"}' % (b"a" * n) for n in range(1, 6)]
    data = b"".join(post(b"content-length: %d\r\n" % len(each), each) for each in texts)
    wrong = post(LENGTH, path=b"/nothing") + kind(b"content-type: x/y\r\n") + post(LENGTH, b'{"prompt":   5}')
    found = ask(data + wrong + data, 13)
    assert [status for status, _, _ in found] == [200] * 5 + [404, 415, 422] + [200] * 5
    assert found[0][2] == found[8][2] != found[4][2] == found[12][2]


def test_a_body_that_waits_to_be_asked_for(ask):
    ((status, _, _),) = ask(post(LENGTH + b"expect: 100-continue\r\n", b""))
    assert status == 100
    assert ask(BODY)[0][0] == 200
    ((status, _, _),) = ask(post(b"content-length: 99999999\r\nexpect: 100-continue\r\n", b""))
    assert status == 413, "too large a body is not asked for"


def test_heads_alone(ask):
    for path, expected in ((b"/health", 200), (b"/", 200), (b"/v1/completions", 405), (b"/nothing", 404)):
        ((status, headers, _),) = ask(get(path, method=b"HEAD"), head=True)
        assert (status, int(headers["content-length"]) > 0) == (expected, True)


def test_a_stream_in_http_1_0_ends_with_the_connection(server):
    body = b'{"prompt":"hi","max_tokens":3,"stream":true}'
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(post(b"content-length: %d\r\n" % len(body), body, b"/v1/completions", version=b"HTTP/1.0"))
        data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert data.endswith(b"data: [DONE]\n\n")
    assert b"transfer-encoding" not in data.lower()
