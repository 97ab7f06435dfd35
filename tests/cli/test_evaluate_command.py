"""`glassformer evaluate`: a text, a file or standard input; alone, or against another precision."""

import math

import pytest

TEXT = "Once upon a time there was a cat. It sat on a mat."


@pytest.fixture(scope="module")
def story_text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "story.txt"
    path.write_text(TEXT, encoding="utf8")
    return path


def test_perplexity(cli, tokenizer):
    tokens = len(tokenizer.encode(TEXT)) - 1
    first, second = cli("evaluate", TEXT).out.splitlines()
    assert first == f"tokens        {tokens} (windows of 512, every 256)"
    score = cli("score", "--json", TEXT).json
    assert second.split()[:2] == ["perplexity", f"{score['perplexity']:.6g}"]


def test_a_text_a_file_and_standard_input_are_alike(cli, story, story_text):
    whole = cli("evaluate", TEXT)
    assert whole.code == 0
    for arguments in ([str(story_text)], [str(story), TEXT], [str(story), str(story_text)]):
        assert cli("evaluate", *arguments).out == whole.out
    assert cli("evaluate", "-", stdin=TEXT.encode()).out == whole.out


def test_json(cli):
    report = cli("evaluate", "--json", "--context", "16", "--stride", "3", TEXT).json
    assert (report["context"], report["stride"], report["against"]) == (16, 3, None)
    assert report["perplexity"] == pytest.approx(math.exp(-report["log_likelihood"]))
    assert report["perplexity_error"] == pytest.approx(report["perplexity"] * report["log_likelihood_error"])


def test_against_another_precision(cli, story):
    report = cli("evaluate", "--json", "--dtype", "q4", "--against-dtype", "f32", "--worst", "3", TEXT).json
    against = report["against"]
    assert 0 < against["kl"] < 0.2
    assert 0.5 < against["same_top"] <= 1
    assert [each["kl"] for each in against["worst"]] == sorted((each["kl"] for each in against["worst"]), reverse=True)
    for each in against["worst"]:
        assert each["before"] + each["token"] in TEXT
    same = cli("evaluate", "--json", "--dtype", "q4", "--against", str(story), "--worst", "3", TEXT).json
    assert same["against"]["kl"] == pytest.approx(against["kl"], rel=1e-3)
    lines = cli("evaluate", "--dtype", "q4", "--against-dtype", "f32", "--worst", "2", TEXT).out.splitlines()
    assert lines[3].startswith("KL divergence 0.")
    assert lines[-2].split("\t")[0] == f"{against['worst'][0]['kl']:.4f}"
    assert len(lines) == 9


def test_documents(cli):
    apart = cli("evaluate", "--json", "--separator", "|", f"{TEXT}|{TEXT}|").json
    once = cli("evaluate", "--json", TEXT).json
    assert apart["tokens"] == 2 * once["tokens"]
    assert apart["perplexity"] == pytest.approx(once["perplexity"])


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        ([], 2, "found 0 arguments"),
        (["a", "b", "c"], 2, "found 3 arguments"),
        (["no/such/file"], 1, "no such file"),
        (["story.txt"], 1, "no such file"),
        (["a"], 1, "at least 2 tokens"),
        (["--context", "600", TEXT], 1, "expected 2 to 512"),
        (["--context", "1", TEXT], 2, "context"),
        (["--separator", "", TEXT], 2, "separator is empty"),
        (["no-such-model", TEXT], 1, "no-such-model"),
    ],
)
def test_what_cannot_be_evaluated(cli, monkeypatch, arguments, code, named):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    outcome = cli("evaluate", *arguments)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (code, "", 1)
    assert named in outcome.err


def test_a_file_that_is_no_text(cli, tmp_path):
    (tmp_path / "bytes").write_bytes(b"abc\xff")
    outcome = cli("evaluate", str(tmp_path / "bytes"))
    assert outcome.code == 1
    assert "byte 0xFF at offset 3" in outcome.err
