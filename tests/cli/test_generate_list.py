"""`glassformer generate --prompts`: a file of prompts in, as many results out, each as alone."""

import json
from pathlib import Path

import pytest

LINES = ["Once upon a time", "The cat", "A dog and"]
FLAGS = ("-n", "6", "--seed", "4")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\n".join(LINES).encode() + b"\n\n  \n")
    return path


def test_each_line_is_continued_as_it_is_alone(cli, file):
    outcome = cli("generate", "--prompts", str(file), *FLAGS, "--json", "--logprobs", "1")
    assert (outcome.code, outcome.err) == (0, "")
    found = [json.loads(line) for line in outcome.out.splitlines()]
    assert len(found) == len(LINES)
    for line, each in zip(LINES, found, strict=True):
        alone = cli("generate", line, *FLAGS, "--json", "--logprobs", "1").json
        assert {**each, "timings": 0} == {**alone, "timings": 0}
        assert each["prompt"] == line


def test_without_json_there_are_the_texts(cli, file):
    outcome = cli("generate", "--prompts", str(file), *FLAGS)
    texts = [cli("generate", line, *FLAGS).out.removesuffix("\n") for line in LINES]
    assert outcome.out == "\n\n".join(texts) + "\n"


@pytest.mark.parametrize("size", ["1", "2", "50"])
def test_any_batch_size_gives_the_same(cli, file, size):
    wanted = cli("generate", "--prompts", str(file), *FLAGS).out
    assert cli("generate", "--prompts", str(file), *FLAGS, "--batch-size", size).out == wanted


def test_many_prompts_come_part_by_part(cli, file, monkeypatch):
    wanted = cli("generate", "--prompts", str(file), *FLAGS).out
    monkeypatch.setattr("glassformer.cli.generate_list.BATCHES", 1)
    for terminal in (False, True):
        monkeypatch.setattr("glassformer.cli.terminal.is_terminal", lambda stream, terminal=terminal: terminal)
        found = cli("generate", "--prompts", str(file), *FLAGS, "--batch-size", "2")
        assert found.out == wanted


def test_standard_input_and_lines_of_json(cli, tmp_path):
    lines = b'{"prompt": "Once"}\r\n{"prompt_ids": [5, 6], "note": 1}\n{"prompt": ""}\n'
    (tmp_path / "p.jsonl").write_bytes(lines)
    found = cli("generate", "--prompts", str(tmp_path / "p.jsonl"), *FLAGS, "--json")
    assert [json.loads(line)["prompt"] for line in found.out.splitlines()] == ["Once", "&'", ""]
    piped = cli("generate", "--prompts", "-", *FLAGS, "--json", stdin=lines)
    ids = [[json.loads(line)["ids"] for line in out.splitlines()] for out in (found.out, piped.out)]
    assert ids[0] == ids[1]
    assert cli("generate", "--prompts", "-", *FLAGS, stdin=b"Once\n").out == cli("generate", "Once", *FLAGS).out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", b"\n \n", "holds no prompt; write one on each line"),
        ("p.txt", b"a\xff", "p.txt is not valid UTF-8: byte 0xFF at offset 1"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": 4}\n', "p.jsonl, line 2: expected an object with either prompt"),
        ("p.jsonl", b'{"prompt": "a", "prompt_ids": [1]}', "line 1: expected an object with either prompt"),
        ("p.jsonl", b'{"prompt_ids": [true]}', "line 1: expected"),
        ("p.jsonl", b"[1, 2]", "line 1: "),
        ("p.jsonl", b"plain", "line 1: not JSON"),
        ("p.jsonl", b'{"prompt_ids": [99999]}', "prompt 0 holds id 99999 at place 0"),
    ],
)
def test_files_that_are_no_prompts_are_refused(cli, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    outcome = cli("generate", "--prompts", str(tmp_path / name))
    assert (outcome.code, outcome.out) == (1, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_what_contradicts_itself_is_refused(cli, file, tmp_path):
    assert "cannot read it" in cli("generate", "--prompts", str(tmp_path / "missing")).err
    assert cli("generate", "--prompts", str(tmp_path)).code == 1
    for more in (["a"], ["--prompt", "a"], ["--prompt-ids", "1"]):
        outcome = cli("generate", "--prompts", str(file), *more)
        assert outcome.code == 2
        assert "--prompts goes without" in outcome.err
    assert cli("generate", "--prompts", str(file), "--batch-size", "0").code == 2


def test_guessing_ahead_can_be_switched_off_and_changes_nothing(cli):
    prompt = "Tom had a ball. " * 6
    ways = [cli("generate", prompt, "--greedy", "-n", "40", *way, "--json").json for way in ((), ("--no-speculate",))]
    assert ways[0]["ids"] == ways[1]["ids"]
    assert ways[1]["timings"]["drafted"] == 0
    assert cli("generate", prompt, "--greedy", "-n", "4", "--speculate").code == 0
