"""`glassformer inspect`: starts, says where, answers, ends; and refuses what it should."""

import importlib.util
import json
import signal
import socket
import urllib.request

import pytest

from glassformer.cli import inspect as command

NEEDED = pytest.mark.skipif(importlib.util.find_spec("starlette") is None, reason="needs the extra serve")


@NEEDED
def test_serves_until_interrupted(process):
    server = process("inspect", "--no-open", "--json", "--threads", "1")
    try:
        said = json.loads(server.stdout.readline())
        assert said["host"] == "127.0.0.1"
        assert said["model"] == "story"
        assert said["url"] == f"http://127.0.0.1:{said['port']}/"
        with urllib.request.urlopen(said["url"], timeout=10) as answer:
            assert b"<title>Glassformer" in answer.read()
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=10)
    assert server.returncode == 130
    assert out == b""
    assert err.decode().splitlines() == ["Ctrl-C ends the server."]


@NEEDED
def test_a_port_that_is_taken(cli):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = cli("inspect", "--no-open", "--port", str(taken.getsockname()[1]))
    assert outcome.code == 1
    assert outcome.out == ""
    assert "choose another --port" in outcome.err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com", ""])
def test_addresses_that_others_reach_need_a_word(cli, host):
    outcome = cli("inspect", "--no-open", "--host", host)
    assert outcome.code == 2
    assert "--allow-network" in outcome.err or "no address" in outcome.err


def test_without_a_web_server_the_error_names_the_cure(cli, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    outcome = cli("inspect", "--no-open")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "pip install 'glassformer[serve]'" in outcome.err


def test_a_model_that_is_named_twice(cli):
    assert cli("inspect", "./a", "--model", "./b", "--no-open").code == 2


def test_a_model_that_is_not_there(cli, tmp_path):
    if importlib.util.find_spec("starlette") is None:
        pytest.skip("needs the extra serve")
    outcome = cli("inspect", str(tmp_path), "--no-open")
    assert outcome.code == 1
    assert "config.json" in outcome.err
