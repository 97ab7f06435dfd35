"""`glassformer score` on a model that finds all tokens equally probable: every number is known."""

import math

import pytest

TEXT = "Once upon a time"


@pytest.fixture(autouse=True)
def uniform(recite):
    recite("")


def test_json(cli, tokenizer):
    ids = tokenizer.encode(TEXT)
    report = cli("score", "--json", TEXT).json
    assert report["text"] == TEXT
    assert report["ids"] == ids
    assert report["tokens"] == [tokenizer.decode([token]) for token in ids]
    assert report["logprobs"] == [None, *[pytest.approx(-math.log(2048), rel=1e-6)] * (len(ids) - 1)]
    assert report["total"] == pytest.approx(-math.log(2048) * (len(ids) - 1), rel=1e-6)
    assert report["perplexity"] == pytest.approx(2048, rel=1e-5)


def test_one_line_per_token_and_a_summary(cli, tokenizer):
    *rows, summary = cli("score", stdin=TEXT.encode()).out.splitlines()
    assert [int(row.split("\t")[0]) for row in rows] == tokenizer.encode(TEXT)
    assert rows[0].split("\t")[1:] == ["", "'Once'"]
    assert rows[1].split("\t")[1:] == ["-7.624619", "' upon'"]
    assert summary == f"tokens {len(rows)}, log-probability {-7.624619 * (len(rows) - 1):.4f}, perplexity 2048.0000"


def test_perplexity_alone(cli):
    assert float(cli("score", "--perplexity", TEXT).out) == pytest.approx(2048, rel=1e-4)


def test_a_terminal_gets_a_table(cli, monkeypatch):
    monkeypatch.setattr("glassformer.cli.terminal.is_terminal", lambda stream: True)
    out = cli("score", TEXT).out
    assert "probability" in out
    assert "' upon'" in out
    assert "0.05 %" in out
    assert out.endswith("perplexity 2048.0000\n")


@pytest.mark.parametrize("text", ["", "a"])
def test_too_short_a_text_fails_with_one_line(cli, text):
    outcome = cli("score", text)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "at least 2 tokens" in outcome.err
