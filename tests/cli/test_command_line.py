"""What holds for every command: exit codes, one line per failure, streams."""

import errno
import io
import json
import re
import signal
import sys
from pathlib import Path

import click
import pytest

import glassformer
from glassformer.cli import app, terminal
from glassformer.cli.failures import describe
from glassformer.cli.main import main
from glassformer.errors import GlassformerError

TEXT_COMMANDS = ("generate", "tokenize", "score")


def test_version(cli):
    outcome = cli("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"glassformer {glassformer.__version__}\n", "")
    for flags in (("--version", "--json"), ("--json", "--version")):
        assert json.loads(cli(*flags).out) == {"program": "glassformer", "version": glassformer.__version__}
    assert cli("--json", "info").code == 2


@pytest.mark.parametrize("command", app.COMMANDS)
def test_every_command_has_help(cli, command):
    outcome = cli(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"Usage: glassformer {command}" in outcome.out
    for flag in ("--json", "--quiet", "--debug"):
        assert flag in outcome.out


def test_help_names_every_command(cli):
    out = cli("--help").out
    assert all(re.search(rf"^  {command} +\S", out, re.MULTILINE) for command in app.COMMANDS)
    assert "..." not in out.partition("Commands:")[2], "a short help is cut off"


def test_no_command_shows_the_help_as_a_usage_error(cli):
    outcome = cli()
    assert (outcome.code, outcome.out) == (2, "")
    assert "Commands:" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["generat"], "generat"),
        (["--bogus"], "--bogus"),
        (["generate", "--bogus"], "--bogus"),
        (["generate", "a", "b"], "b"),
        (["generate", "--temperature", "nan", "a"], "--temperature"),
        (["generate", "--temperature", "-1", "a"], "--temperature"),
        (["generate", "--temperature", "1e400", "a"], "--temperature"),
        (["generate", "--top-p", "1.5", "a"], "--top-p"),
        (["generate", "--top-k", "-1", "a"], "--top-k"),
        (["generate", "--top-k", "1.5", "a"], "--top-k"),
        (["generate", "--seed", "-1", "a"], "--seed"),
        (["generate", "--seed", str(2**64), "a"], "--seed"),
        (["generate", "-n", "0", "a"], "--max-new-tokens"),
        (["generate", "--stop", "", "a"], "--stop"),
        (["generate", "--bad-words", "", "a"], "--bad-words"),
        (["generate", "--logit-bias", "5", "a"], "--logit-bias"),
        (["generate", "--logit-bias", "x=1", "a"], "--logit-bias"),
        (["generate", "--logit-bias", "1=inf", "a"], "--logit-bias"),
        (["generate", "--threads", "0", "a"], "--threads"),
        (["generate", "--dtype", "f33", "a"], "--dtype"),
        (["generate", "--threads", "100000", "a"], "--threads"),
        (["generate", "--model", "", "a"], "--model"),
        (["generate", "--model-path", "w.safetensors", "a"], "--vocab-path"),
        (["generate", "--config-n-layer", "3", "a"], "--model-path"),
        (["generate", "--greedy", "--top-k", "5", "--temperature", "0.5", "a"], "--temperature and --top-k"),
        (["generate", "--logprobs", "5", "a"], "--json"),
        (["pull"], "NAME"),
        (["completion", "tcsh"], "tcsh"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_code_2(cli, arguments, named):
    outcome = cli(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("glassformer: ")
    assert outcome.err.count("\n") == 1
    assert named in outcome.err
    assert "--help'" in outcome.err


@pytest.mark.parametrize("command", TEXT_COMMANDS)
def test_invalid_utf8_on_standard_input_is_refused(cli, command):
    outcome = cli(command, "-", stdin=b"abc\xff")
    assert (outcome.code, outcome.out) == (1, "")
    assert "byte 0xFF at offset 3" in outcome.err


@pytest.mark.parametrize("command", TEXT_COMMANDS)
@pytest.mark.parametrize(("text", "found"), [("ab\udcff", "byte 0xFF at character 2"), ("\ud800", "U+D800")])
def test_an_argument_that_is_not_utf8_is_refused(cli, command, text, found):
    outcome = cli(command, text)
    assert (outcome.code, outcome.out) == (2, "")
    assert found in outcome.err


@pytest.mark.parametrize("command", TEXT_COMMANDS)
def test_closed_standard_input(cli, command, monkeypatch):
    monkeypatch.setattr("glassformer.cli.text_input.sys", type("NoStdin", (), {"stdin": None}))
    assert "standard input is closed" in cli(command, "-").err


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (GlassformerError("a\n  b"), "a b", 1),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.json"), "x.json: No such file", 1),
        (OSError("odd"), "odd", 1),
        (click.UsageError("Bad."), "Bad. See 'glassformer --help'.", 2),
        (click.UsageError("This?"), "This? See 'glassformer --help'.", 2),
        (click.ClickException("no"), "no", 1),
    ],
)
def test_failures_in_one_line(error, line, code):
    assert describe(error) == (line, code)


def test_a_defect_of_ours_says_so():
    line, code = describe(ZeroDivisionError("division by zero"))
    assert code == 1
    assert "unexpected ZeroDivisionError: division by zero" in line
    assert "--debug" in line
    assert "memory" in describe(MemoryError())[0]


@pytest.mark.parametrize("arguments", [("--debug", "tokenize", "a"), ("tokenize", "--debug", "a")])
def test_debug_shows_the_traceback(cli, monkeypatch, arguments):
    def fail(model):
        raise GlassformerError("broken")

    monkeypatch.setattr("glassformer.cli.tokenize.load_tokenizer", fail)
    outcome = cli(*arguments)
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert outcome.err.endswith("glassformer: broken\n")
    assert cli("tokenize", "a").err == "glassformer: broken\n"


def test_interrupt_anywhere_is_130_without_a_word(cli, monkeypatch):
    def interrupt(model):
        raise KeyboardInterrupt

    monkeypatch.setattr("glassformer.cli.tokenize.load_tokenizer", interrupt)
    outcome = cli("tokenize", "a")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")
    monkeypatch.setattr(app, "run", interrupt)
    assert main() == 130


def test_a_letter_that_the_stream_lacks_is_escaped(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.prepare_streams()
    terminal.write("naïve 猫\n")
    assert stream.buffer.getvalue() == rb"na\xefve \u732b" + b"\n"


def test_a_locale_without_the_letters_is_no_obstacle(process):
    env = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8"}
    out, err = process("tokenize", "--json", "猫".encode(), env=env).communicate(timeout=60)
    assert (json.loads(out)["text"], err) == ("猫", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(process):
    with Path("/dev/full").open("wb") as full:
        result, failure = process("--version", stdout=full), process("bogus", stderr=full)
        assert result.communicate(timeout=60)[1] == b"glassformer: standard output: No space left on device\n"
        assert failure.communicate(timeout=60) == (b"", None)
    assert (result.returncode, failure.returncode) == (1, 2)


def test_pipes_get_utf8_whatever_the_locale(monkeypatch):
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.prepare_streams()
    terminal.write("naïve\n")
    assert stream.buffer.getvalue() == "naïve\n".encode()


def test_closed_streams_take_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    terminal.prepare_streams()
    terminal.write("a")
    terminal.write_bytes(b"a")
    terminal.note("a")
    terminal.flush()


def test_an_interrupt_that_an_import_turned_into_an_error_is_still_one(cli, monkeypatch):
    def import_interrupted(model):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("odd") from None

    monkeypatch.setattr("glassformer.cli.tokenize.load_tokenizer", import_interrupted)
    assert cli("tokenize", "a") == type(cli("--version"))(130, "", "")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
