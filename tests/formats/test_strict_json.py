"""JSON, and nothing that Python's parser takes beyond it."""

import json
import os
import random
from pathlib import Path

import pytest

from glassformer.formats.strict_json import MAX_DEPTH, JsonError, brief, parse_object, read_object


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff", "byte 0 is not valid UTF-8"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{}x", "not JSON"),
        (b"[]", "a list at the top level"),
        (b'"a"', "a string at the top level"),
        (b"true", "a boolean at the top level"),
        (b"1", "a number at the top level"),
        (b"null", "null at the top level"),
        (b'{"a":1,"b":2,"a":3}', "the key 'a' is given twice"),
        (b'{"a":{"b":1,"b":1}}', "the key 'b' is given twice"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":1e400}', "'1e400' is out of range"),
        (b'{"a":' + b"9" * 5000 + b"}", "is out of range"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "nested more than 127 deep"),
        (b"[" * 1_000_000, "nested more than 127 deep"),
        (b'{"a":"\\ud800"}', "unpaired surrogate"),
        (b'{"\\uDFFF":1}', "unpaired surrogate"),
    ],
)
def test_refused(text: bytes, message: str) -> None:
    with pytest.raises(JsonError, match=message) as error:
        parse_object(text)
    assert len(str(error.value)) < 300


def test_accepted_as_the_standard_parser_reads_it() -> None:
    deepest = '{"a":' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}"
    texts = [deepest, '{"a":"[[[[\\"[[","b":[1,-2.5e3,true,null,"\\ud83d\\ude00"]}', ' {"": {}} ', "{}"]
    for text in texts:
        assert parse_object(text.encode()) == json.loads(text)
    assert repr(parse_object(b'{"a":-0}')) == "{'a': -0.0}"


def test_unclosed_strings_take_linear_time() -> None:
    with pytest.raises(JsonError, match="not JSON"):
        parse_object(b'{"' + b'\\"' * 2_000_000)


def test_random_bytes_raise_nothing_else() -> None:
    rng = random.Random(5)
    alphabet = b'{}[]":,\\u0d8 -.eE19tfn\xc3\xa9\x00'
    for _ in range(5000):
        data = bytes(rng.choice(alphabet) for _ in range(rng.randrange(12)))
        try:
            parsed = parse_object(b'{"k":' + data + b"}")
        except JsonError:
            continue
        assert parsed == json.loads(b'{"k":' + data + b"}")


def test_read_object_bounds_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_object(path, 8) == {"a": 1}
    with pytest.raises(JsonError, match="larger than 7 bytes"):
        read_object(path, 7)
    with pytest.raises(JsonError, match="cannot read it: No such file"):
        read_object(tmp_path / "b.json", 8)
    with pytest.raises(JsonError, match="cannot read it"):
        read_object(tmp_path, 8)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(JsonError, match="not a regular file"):
        read_object(tmp_path / "pipe.json", 1000)


def test_brief_escapes_and_cuts() -> None:
    assert brief("a\x1b[31m\n") == repr("a\x1b[31m\n")
    for value in ("x" * 10**6, list(range(10**5)), {str(i): i for i in range(10**4)}, [[["y" * 999] * 99] * 99] * 99):
        assert len(brief(value)) <= 240
