"""`glassformer bench` on the story model: three forms of one report, and flags that make no sense."""

import csv
import io
from typing import Any

import pytest

from glassformer import __version__

QUICK = ("bench", "-p", "16", "-n", "4", "-r", "2", "--threads", "1")


@pytest.fixture(autouse=True)
def small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassformer.runtime.machine.READ_BYTES", 1 << 22)


def test_json_has_everything(cli: Any) -> None:
    done = cli(*QUICK, "-b", "1,2", "--json")
    assert done.code == 0, done.err
    report = done.json
    assert [test["test"] for test in report["tests"]] == ["pp16", "tg4", "tg4 x 2"]
    assert all(len(test["seconds"]) == 2 and test["tokens_per_second"] > 0 for test in report["tests"])
    assert report["tests"][0]["share_of_read"] is None
    assert report["tests"][1]["share_of_read"] > 0
    assert report["glassformer"] == __version__
    assert report["threads"] == 1
    named = {"load", "first_call", "first_token", "tokenize_per_token", "sample", "sample_greedy", "resident_bytes"}
    assert named | {"machine", "processor", "target", "pinned"} <= set(report)


def test_csv_has_a_line_for_each_test(cli: Any) -> None:
    done = cli(*QUICK, "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["test"] for row in rows] == ["pp16", "tg4"]
    assert all(float(row["tokens_per_second"]) > 0 and len(row["seconds"].split()) == 2 for row in rows)
    assert rows[0]["model"] == "gpt2 6 x 192"


def test_markdown_is_the_default(cli: Any) -> None:
    out = cli(*QUICK, "-p", "0").out
    lines = out.splitlines()
    assert lines[0].startswith("| model | weights | size | threads | test | tokens/s |")
    assert "| tg4 |" in lines[2]
    assert " ± " in lines[2]
    assert any(line.startswith("| time to first token |") for line in lines)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("-p", "x"), "not a list of whole numbers"),
        (("-p", "-3"), "not a list of whole numbers"),
        (("-n", "8,"), "not a list of whole numbers"),
        (("-n", "9" * 500), "not a list of whole numbers"),
        (("-n", "²"), "not a list of whole numbers"),
        (("-b", "257"), "257 is more than 256"),
        (("-b", "0"), "-b is at least 1"),
        (("-p", "0", "-n", "0"), "nothing to measure"),
        (("-r", "0"), "0 is not in the range"),
        (("--warmup", "-1"), "-1 is not in the range"),
        (("-o", "xml"), "'xml' is not one of"),
    ],
)
def test_senseless_flags_are_refused(cli: Any, flags: tuple[str, ...], message: str) -> None:
    done = cli("bench", *flags)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_too_long_for_the_model_says_both_numbers(cli: Any) -> None:
    done = cli("bench", "-p", "513")
    assert (done.code, done.out) == (1, "")
    assert "513 tokens exceeds the context window of 512" in done.err
