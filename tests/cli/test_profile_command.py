"""`glassformer profile` on the story model: tables, JSON, the trace file, and flags that make no sense."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

QUICK = ("profile", "-p", "9", "-n", "4", "--threads", "2")


@pytest.fixture(autouse=True)
def small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassformer.runtime.machine.READ_BYTES", 1 << 22)


def test_json_has_both_parts(cli: Any) -> None:
    done = cli(*QUICK, "--json")
    assert done.code == 0, done.err
    prefill, decode = done.json["prefill"], done.json["decode"]
    assert (prefill["tokens"], prefill["passes"]) == (9, 1)
    assert (decode["tokens"], decode["passes"]) == (4, 4)
    assert [thread["thread"] for thread in decode["thread_times"]] == [0, 1]
    assert decode["machine"]["read_gb_s"] > 0
    assert len(decode["layers"]) == 2 + 2 * 6
    assert decode["seconds"]["python"] > 0


def test_tables_name_operations_layers_and_threads(cli: Any) -> None:
    out = cli(*QUICK).out
    for text in ("prompt: 9 tokens", "decode: 4 tokens", "attn attention", "between launches", "choosing and Python",
                 "blocks.5", "waiting for others", "This machine reads"):  # fmt: skip
        assert text in out
    tables = [line for line in out.splitlines() if not line.startswith(("prompt", "decode", "This machine"))]
    assert len(tables) > 40
    assert max(map(len, tables)) <= 80
    assert "…" not in out


def test_a_reader_who_has_left_is_no_failure(process: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = process(*QUICK, stdout=writer)
    os.close(writer)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, b"")


def test_trace_is_written(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    assert cli(*QUICK, "--trace", str(path), "--json").code == 0
    events = json.loads(path.read_text(encoding="utf8"))["traceEvents"]
    assert sum(event["name"].startswith("pass ") for event in events) == 5
    assert any(event.get("cat") == "blocks.3.mlp" for event in events)


def test_trace_that_cannot_be_written_is_one_line(cli: Any, tmp_path: Path) -> None:
    done = cli(*QUICK, "--trace", str(tmp_path / "no" / "trace.json"))
    assert (done.code, done.out) == (1, "")
    assert "trace.json" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("-p", "0"), 2, "0 is not in the range"),
        (("-n", "-1"), 2, "-1 is not in the range"),
        (("-n", "1e3"), 2, "'1e3' is not a valid integer"),
        (("-p", "99999999999999999999"), 2, "is not in the range"),
        (("--trace", "."), 2, "is a directory"),
        (("-p", "500", "-n", "13"), 1, "500 tokens and 13 more exceed the context window of 512"),
    ],
)
def test_senseless_flags_are_refused(cli: Any, flags: tuple[str, ...], code: int, message: str) -> None:
    done = cli("profile", *flags)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.count("\n") == 1
