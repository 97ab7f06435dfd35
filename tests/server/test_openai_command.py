"""`glassformer serve` as a command: what it refuses before it starts."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from glassformer.cli import serve as command
from glassformer.cli.app import run

NEEDED = pytest.mark.skipif(not all(map(command.find_spec, command.NEEDED)), reason="needs the extra serve")


@pytest.fixture
def refused(capsys):
    """The exit code and the one line of a command that does not start."""

    def start(*arguments):
        code = run(["serve", *arguments])
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1, err
        return code, err

    return start


def test_without_a_web_server_the_error_names_the_cure(refused, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    code, err = refused()
    assert code == 1
    assert "pip install 'glassformer[serve]'" in err


@NEEDED
@pytest.mark.parametrize(("arguments", "word"), [
    (["a", "--model", "b"], "twice"), (["--host", "0.0.0.0"], "--allow-network"),
    (["--host", "example.com"], "no address"),
    (["--port", "70000"], "--port"), (["--max-batch", "0"], "--max-batch"), (["--queue", "-1"], "--queue"),
    (["--kv-memory", "0"], "--kv-memory"), (["--timeout", "nan"], "--timeout"), (["--drain", "-1"], "--drain"),
    (["--log-format", "xml"], "--log-format"), (["--api-key", ""], "API key"), (["--api-key", "a b\n"], "API key"),
    (["--allow-origin", "example.com"], "--allow-origin"), (["--allow-host", "a/b"], "--allow-host"),
])  # fmt: skip
def test_flags_out_of_range(refused, arguments, word):
    code, err = refused("--port", "0", *arguments)
    assert code == 2
    assert word in err


@NEEDED
def test_a_key_of_the_environment_counts_too(monkeypatch):
    monkeypatch.setenv(command.KEY_VARIABLE, "from-outside")
    assert command.all_keys(("one",)) == ["one", "from-outside"]
    monkeypatch.setenv(command.KEY_VARIABLE, "")
    with pytest.raises(command.click.UsageError):
        command.all_keys(())


@NEEDED
def test_a_port_that_is_taken(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, err = refused("--port", str(taken.getsockname()[1]))
    assert code == 1
    assert "choose another --port" in err


@NEEDED
def test_a_model_that_is_not_there(refused, tmp_path):
    code, err = refused("--port", "0", str(tmp_path / "nothing"))
    assert code == 1
    assert "no such folder" in err


def test_the_command_imports_no_web_server_to_show_its_help():

    source = (
        "import sys; from glassformer.cli.app import run; run(['serve', '--help']); print('uvicorn' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=Path.home())
    assert found.stdout.endswith("False\n")
