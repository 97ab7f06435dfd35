"""`glassformer batch`: its flags, what it says, its exit codes, and that the same command goes on."""

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from glassformer.cli.progress import PATIENCE

LINES = [{"prompt": "Once upon a time", "id": "a"}, {"prompt": "The cat", "max_new_tokens": 3}, {"prompt_ids": [5, 6]}]
FLAGS = ("-n", "6", "--seed", "4", "--temperature", "0.7")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in LINES))
    return path


def results(text: str) -> list[dict[str, object]]:
    return sorted((json.loads(line) for line in text.splitlines()), key=lambda each: each["line"])


def test_results_go_to_standard_output_or_to_a_file(cli, file, tmp_path):
    outcome = cli("batch", str(file), *FLAGS)
    assert outcome.code == 0
    assert outcome.err.startswith("[3 lines · ")
    found = results(outcome.out)
    alone = cli("generate", "Once upon a time", *FLAGS, "--json").json
    assert {key: found[0][key] for key in ("id", "text", "ids", "finish_reason", "seed")} == {
        "id": "a", **{key: alone[key] for key in ("text", "ids", "finish_reason", "seed")}
    }  # fmt: skip
    assert [each["seed"] for each in found] == [4, 5, 6]
    assert len(found[1]["ids"]) == 3
    written = cli("batch", str(file), *FLAGS, "-o", str(tmp_path / "out.jsonl"))
    assert (written.code, written.out) == (0, "")
    assert results((tmp_path / "out.jsonl").read_text()) == found
    piped = cli("batch", "-", *FLAGS, "--quiet", stdin=file.read_bytes())
    assert (results(piped.out), piped.err) == (found, "")


def test_the_same_command_goes_on_and_another_is_refused(cli, file, tmp_path):
    out = tmp_path / "out.jsonl"
    command = ("batch", str(file), "--output", str(out), "-n", "6", "--temperature", "0.7")
    assert cli(*command).code == 0  # without a seed: one is drawn, and kept
    whole = out.read_bytes()
    seed = results(whole.decode())[0]["seed"]
    out.write_bytes(whole[: len(whole) - 30])
    again = cli(*command, "--json")
    assert again.code == 0
    assert {**again.json, "seconds": 0, "tokens_per_second": 0} == {
        "lines": 3, "known": 2, "errors": 0, "prompt_tokens": again.json["prompt_tokens"],
        "tokens": again.json["tokens"], "seconds": 0, "tokens_per_second": 0,
    }  # fmt: skip
    assert again.json["tokens"] > 0
    assert sorted(out.read_bytes().splitlines()) == sorted(whole.splitlines())
    nothing = cli(*command)
    assert (nothing.code, nothing.err) == (0, "[3 lines (3 of them before) · nothing to do · 0 errors]\n")
    for more, message in (
        (("-n", "7"), "max_new_tokens was 6 and is 7"),
        (("--seed", str((seed + 1) % 2**32)), f"seed was {seed} and is"),
        (("--choice", "yes"), "constraint was not given and is"),
        (("--greedy", "--temperature", "0"), None),
    ):
        outcome = cli(*command, *more)
        assert outcome.code in (1, 2)
        assert message is None or f"{out} was begun otherwise: {message}" in outcome.err
    file.write_text(json.dumps(LINES[1]) + "\n")
    assert "line 1 of the input is not what it was when it was done" in cli(*command).err
    assert sorted(out.read_bytes().splitlines()) == sorted(whole.splitlines())
    assert cli(*command, "--restart", "--seed", "9").code == 0
    assert [each["seed"] for each in results(out.read_text())] == [9]


def test_another_model_is_refused_even_where_it_lies_in_the_same_place(cli, file, tmp_path):
    out = tmp_path / "out.jsonl"
    assert cli("batch", str(file), *FLAGS, "-o", str(out)).code == 0
    out.write_bytes(out.read_bytes().partition(b"\n")[0] + b"\n")
    outcome = cli("batch", str(file), *FLAGS, "-o", str(out), "--dtype", "q8")
    assert outcome.code == 1
    assert "model was" in outcome.err


def test_errors_are_counted_and_told_by_the_exit_code(cli, file, tmp_path):
    file.write_bytes(file.read_bytes() + b'{"prompt": 5, "id": "x"}\n\nno\n')
    for _ in range(2):  # the second time all is done
        outcome = cli("batch", str(file), *FLAGS, "-o", str(tmp_path / "out.jsonl"))
        assert outcome.code == 1
        assert "2 errors]" in outcome.err
        assert f"2 of 5 lines have an error instead of a result; see {tmp_path / 'out.jsonl'}" in outcome.err
    found = results((tmp_path / "out.jsonl").read_text())
    assert [(each["line"], each["id"]) for each in found if "id" in each] == [(1, "a"), (4, "x")]
    assert [each["error"]["type"] for each in found[3:]] == ["LineError", "LineError"]


@pytest.mark.parametrize("task", ["score", "embed"])
def test_texts_are_scored_and_embedded(cli, tmp_path, task):
    (tmp_path / "t.jsonl").write_text('{"text": "Once upon a time"}\n{"ids": [5, 6], "custom_id": 7}\n')
    outcome = cli("batch", str(tmp_path / "t.jsonl"), "--task", task)
    assert outcome.code == 0
    first, second = results(outcome.out)
    assert second["custom_id"] == 7
    if task == "score":
        assert first["perplexity"] == cli("score", "Once upon a time", "--json").json["perplexity"]
    else:
        assert len(first["embedding"]) == 192
        last = cli("batch", str(tmp_path / "t.jsonl"), "--task", task, "--pooling", "last")
        assert results(last.out)[0]["embedding"] != first["embedding"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--restart",), 2, "--restart goes with --output"),
        (("--json",), 2, "--json goes with --output"),
        (("--task", "score", "--top-k", "3"), 2, "--top-k says how texts are continued"),
        (("--pooling", "last"), 2, "--pooling goes with --task embed"),
        (("--task", "dance"), 2, "'dance' is not one of"),
        (("--greedy", "--top-p", "0.5"), 2, "--greedy draws nothing"),
        (("--stop-id", "5000"), 2, "stop_ids names id 5000"),
        (("--max-batch", "0"), 2, "--max-batch"),
    ],
)
def test_what_contradicts_itself_is_refused(cli, file, arguments, code, message):
    outcome = cli("batch", str(file), *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


def test_files_that_cannot_be_are_refused(cli, file, tmp_path):
    assert "cannot read it" in cli("batch", str(tmp_path / "missing")).err
    assert cli("batch", str(tmp_path)).code == 1
    before = file.read_bytes()
    outcome = cli("batch", str(file), "-o", str(file))
    assert outcome.code == 1
    assert "was not written by this command" in outcome.err
    assert file.read_bytes() == before


def test_a_restart_that_cannot_begin_loses_nothing(cli, file, tmp_path):
    out = tmp_path / "out.jsonl"
    command = ("batch", str(file), "--output", str(out), "--restart", *FLAGS)
    assert cli(*command).code == 0
    before = out.read_bytes()
    assert cli(*command, "--model", str(tmp_path / "missing")).code == 1
    assert cli(*command, "--stop-id", "5000").code == 2
    outcome = cli("batch", str(out), "--output", str(out), "--restart")
    assert (outcome.code, f"{out} is the input as well" in outcome.err) == (1, True)
    assert out.read_bytes() == before
    file.write_text("\n")
    assert cli(*command).code == 0
    assert out.read_bytes() == b""


def test_an_empty_input_is_done_at_once(cli, tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"\n \n")
    outcome = cli("batch", str(tmp_path / "empty.jsonl"), "-o", str(tmp_path / "out.jsonl"), "--json")
    assert outcome.code == 0
    assert (outcome.json["lines"], (tmp_path / "out.jsonl").read_bytes()) == (0, b"")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_interrupted_it_says_how_to_go_on(process, file, tmp_path):
    file.write_text('{"prompt": "Once", "max_new_tokens": 2}\n' + '{"prompt": "Once"}\n' * 200)
    out = tmp_path / "out.jsonl"
    child = process("batch", str(file), "-o", str(out), "--ignore-eos", "-n", "480", "--max-batch", "2")
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    done = out.read_bytes().count(b"\n")
    assert err == b"interrupted; the results so far are kept, and the same command goes on behind them\n"
    assert 1 <= done < 200


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX terminals")
def test_results_stay_where_they_go_while_a_terminal_shows_progress(process):
    ours, theirs = os.openpty()
    shown = bytearray()
    watching = threading.Thread(target=watch, args=(ours, shown))
    watching.start()
    child = process("batch", "-", *FLAGS, stderr=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    line = json.dumps(LINES[0]).encode() + b"\n"
    child.stdin.write(line)
    child.stdin.flush()
    first = child.stdout.readline()
    time.sleep(PATIENCE + 0.1)
    rest, _ = child.communicate(3 * line, timeout=60)
    watching.join()
    os.close(ours)
    assert (child.returncode, [each["line"] for each in results((first + rest).decode())]) == (0, [1, 2, 3, 4])
    assert b"generating" in shown
    assert b"digest" not in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l"), "the cursor is there again"


def watch(descriptor: int, shown: bytearray) -> None:
    """Gather what a terminal shows, until nobody writes to it; some systems call that an error."""
    with contextlib.suppress(OSError):
        while piece := os.read(descriptor, 1 << 16):
            shown += piece
