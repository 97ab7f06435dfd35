"""`glassformer completion`: the scripts, and what they get to hear from the program."""

import shutil
import subprocess

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_calls_the_program_back(cli, shell):
    outcome = cli("completion", shell)
    assert outcome.code == 0
    assert f"_GLASSFORMER_COMPLETE={shell}_complete" in outcome.out
    assert cli("completion", shell, "--json").json == {"shell": shell, "script": outcome.out}


def test_script_is_valid_bash(cli):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = cli("completion", "bash").out
    subprocess.run([bash, "-n"], input=script.encode(), check=True)


@pytest.mark.parametrize(
    ("line", "found"), [("glassformer ge", "generate"), ("glassformer generate --temp", "--temperature")]
)
def test_program_answers_the_script(cli, monkeypatch, line, found):
    monkeypatch.setenv("_GLASSFORMER_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    assert cli().out == f"plain,{found}\n"


def test_unknown_shell(cli):
    assert cli("completion", "tcsh").code == 2
