"""The load on servers: its arithmetic, that its client sees what a server sends, and that its model has its words."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import serving
from glassformer.models.config import GPT2Config
from glassformer.tokenizer.tokenizer import Tokenizer
from serving import Round, Work, gaps, quiet, row
from serving_model import words, write_served
from serving_peers import AbsentError

WORK = Work("two", 2, 1, 10, 3, join=30)
ANSWER = b"".join(
    b'data: {"choices":[{"text":"%s","finish_reason":%s}]}\n\n' % each
    for each in ((b" abc", b"null"), (b"", b"null"), (b" \\u00e9", b"null"), (b" x", b'"length"'))
)


def told(times: list[float], *, late: bool = False, length: bool = True) -> dict[str, object]:
    return {"late": late, "status": 200, "length": length, "times": times, "sent": times[0] - 1, "ended": times[-1]}


def load_of(*requests: dict[str, object]) -> dict[str, object]:
    return {"requests": list(requests), "seconds": 4.0, "health": [0.1], "processor": 0.4}


def test_joining_prompt_is_timed_by_itself_and_others_while_it_is_read() -> None:
    found = Round.of(WORK, load_of(told([1.0, 2.0, 3.5, 3.6]), told([3.0, 4.0], late=True)), 0.0)
    assert found.first == [1.0]
    assert found.between == [1.0, 1.5]  # 2.0 is when it was sent, 3.0 when it came
    assert found.speed == 3 * 2 / 4.0


def test_gaps_are_those_that_reach_into_the_span() -> None:
    assert gaps([0.0, 1.0, 3.0, 7.0, 9.0], 2.0, 5.0) == [2.0, 4.0]


def test_text_that_is_shorter_than_asked_is_no_measurement() -> None:
    with pytest.raises(AbsentError, match="1 of 1"):
        Round.of(WORK, load_of(told([1.0], length=False)), 0.0)


def test_disturbed_rounds_count_only_where_there_are_no_others() -> None:
    calm, loud = (Round(speed, [0.1], [0.1], [], 0.0, others) for speed, others in ((4.0, 0.01), (1.0, 0.4)))
    rounds = [{serving.OWN: calm, "other": calm}, {serving.OWN: calm, "other": loud}]
    assert quiet(rounds) == rounds[:1]
    assert quiet(rounds[1:]) == rounds[1:]
    line = row(WORK, "other", rounds[1:], None)
    assert (line["tok/s"], line["ours"], line["counted"]) == (1.0, 4.0, 1)
    assert row(WORK, "absent", rounds, "it is not installed")["tok/s"] == "absent"


def test_prompts_of_two_rounds_differ_and_what_is_shared_is_the_same() -> None:
    work = Work("shared", 2, 2, 10, 3, shared=20)
    every = [*work.prompts(1), *work.prompts(2)]
    assert len({prompt[: 4 * 20] for prompt in every}) == 1
    assert len(set(every)) == len(every) == 8
    assert work.room.tokens >= 20 + 15 + 3


def test_every_word_of_a_prompt_is_a_token(tmp_path: Path) -> None:
    write_served(tmp_path, GPT2Config(vocab_size=18_600, n_positions=64, n_embd=8, n_layer=1, n_head=1))
    text = words(200, np.random.default_rng(3))
    assert len(Tokenizer.load(tmp_path).encode(text)) == 200


def test_client_counts_tokens_and_asks_for_health_meanwhile() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        load = {"port": port, "path": "/v1/completions", "health": "/health", "streams": 2,
                "requests": [{"body": "{}"}, {"body": "{}"}, {"body": "{}"}, {"body": "{}", "late": True}]}  # fmt: skip
        command = [sys.executable, "-S", str(serving.CLIENT)]
        done = subprocess.run(command, input=json.dumps(load), capture_output=True, text=True, check=True, timeout=20)
    found = json.loads(done.stdout)
    assert [(len(each["times"]), each["status"], each["length"]) for each in found["requests"]] == [(3, 200, True)] * 4
    late = found["requests"][-1]
    assert late["sent"] >= max(each["times"][0] for each in found["requests"][:2])
    assert found["health"]


def answer(listener: socket.socket) -> None:
    """Answer whatever is asked, an event in two pieces."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            posted = connection.recv(1 << 16).startswith(b"POST")
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            if posted:
                connection.sendall(ANSWER[:-20])
                connection.sendall(ANSWER[-20:])
