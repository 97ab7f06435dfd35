"""`glassformer quantize`: a folder that every other command takes."""

import pytest

from glassformer.cli.progress import ProgressLine, shown_progress


def test_a_packed_model_is_used_like_any_other(cli, story, tmp_path):
    outcome = cli("quantize", str(story), str(tmp_path / "q8"))
    assert (outcome.code, outcome.out) == (0, f"{tmp_path / 'q8'}\n")
    assert "q8: 6,322,176 -> " in outcome.err
    expected = cli("generate", "--dtype", "q8", "--seed", "3", "-n", "12", "Once").out
    assert cli("generate", "-m", str(tmp_path / "q8"), "--seed", "3", "-n", "12", "Once").out == expected


def test_json(cli, story, tmp_path):
    report = cli("quantize", str(story), str(tmp_path / "q4"), "--dtype", "q4", "--json").json
    assert report["folder"] == str(tmp_path / "q4")
    assert report["dtype"] == "q4"
    assert report["bytes_after"] == (tmp_path / "q4" / "model.safetensors").stat().st_size < report["bytes_before"] / 2
    described = cli("info", "--json", str(tmp_path / "q4")).json
    assert described["packed"] == "q4"
    assert described["parameters"] == cli("info", "--json").json["parameters"]
    assert cli("info", "--json").json["packed"] is None


def test_quiet(cli, story, tmp_path):
    assert cli("quantize", "-q", str(story), str(tmp_path / "out")).err == ""


def test_a_folder_in_the_way(cli, story, tmp_path):
    (tmp_path / "mine").write_text("")
    outcome = cli("quantize", str(story), str(tmp_path))
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "--force" in outcome.err
    assert cli("quantize", "--force", str(story), str(tmp_path)).code == 0


@pytest.mark.parametrize("arguments", [(), ("in",), ("in", "out", "more"), ("in", "out", "--dtype", "q5")])
def test_a_wrong_command_line(cli, arguments):
    assert cli("quantize", *arguments).code == 2


def test_a_missing_model(cli, tmp_path):
    outcome = cli("quantize", str(tmp_path / "none"), str(tmp_path / "out"))
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------ the line of progress


def test_no_terminal_no_progress(capsys):
    with shown_progress("loading", "bytes") as progress:
        progress.begun -= 10
        progress(1, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("unit", ["bytes", "tokens"])
def test_progress_waits_a_second_and_then_shows(unit):
    line = ProgressLine("loading", unit, wanted=True)
    line(1, 100)
    assert line.bar is None
    line.begun -= 10
    line(50, 100)
    (task,) = line.bar.tasks
    assert (task.description, task.completed, task.total) == ("loading", 50, 100)
    line.close()
    assert line.bar is None
