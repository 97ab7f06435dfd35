"""Broken model folders, through the command line: each is one line that names the file, and exit code 1."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import glassformer
from glassformer.cli.app import run

STORY = Path(glassformer.__file__).parent / "models" / "story"


def with_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


def with_text(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-2])


def a_folder_for_a_file(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


CASES = {
    "no weights": (without("model.safetensors"), "model.safetensors"),
    "weights cut short": (cut_short, "model.safetensors"),
    "weights of text": (with_text("model.safetensors", "<html>not found</html>"), "model.safetensors"),
    "empty weights": (with_text("model.safetensors", ""), "model.safetensors"),
    "no config": (without("config.json"), "config.json"),
    "config of no JSON": (with_text("config.json", '{"n_layer": '), "config.json"),
    "config of deep nesting": (with_text("config.json", "[" * 100_000), "config.json"),
    "config of many digits": (with_text("config.json", '{"n_layer": ' + "9" * 5000 + "}"), "config.json"),
    "config that is a folder": (a_folder_for_a_file, "config.json"),
    "another architecture": (with_config(model_type="llama"), "llama"),
    "a wrong type": (with_config(n_layer="six"), "n_layer"),
    "a size of zero": (with_config(n_head=0), "n_head"),
    "heads that do not divide": (with_config(n_head=7), "n_head"),
    "more layers than weights": (with_config(n_layer=7), "h.6."),
    "another width": (with_config(n_embd=96), "wte.weight"),
    "a huge vocabulary": (with_config(vocab_size=10**7), "wte.weight"),
    "no merges": (without("merges.txt"), "merges.txt"),
    "vocabulary of no JSON": (with_text("vocab.json", "garbage"), "vocab.json"),
    "vocabulary of another kind": (with_text("vocab.json", '["a"]'), "vocab.json"),
    "merges of no pairs": (with_text("merges.txt", "#version: 0.2\na b c\n"), "merges.txt"),
    "sampling out of range": (with_text("generation_config.json", '{"temperature": "hot"}'), "generation_config.json"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_that_names_the_trouble(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, named = CASES[case]
    folder = tmp_path / "model"
    shutil.copytree(STORY, folder)
    spoil(folder)
    code = run(["generate", "--model", str(folder), "-n", "1", "Once"])
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.startswith("glassformer: ")
    assert err.count("\n") == 1
    assert named in err
    assert "defect" not in err


def test_names_in_messages_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["info", "a\x1b[2J\nb/c/d"])
    assert code == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
