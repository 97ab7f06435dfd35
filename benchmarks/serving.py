"""Servers under load, over HTTP on loopback: `glassformer serve` beside those of llama.cpp, with the same weights.

    LLAMA_CPP_PYTHON=... LLAMA_SERVER=... python benchmarks/serving.py [--streams 1 4 16 64] [--works plain,prefix,join]

A client in a process of its own keeps so many streams of `/v1/completions` busy: on each, requests follow one another,
with texts of words that are one token for all servers, all as long as asked. Servers take turns, round by round; a
server that does not work sleeps. `tok/s` is the median over the rounds, `ours` that of our speed divided by theirs in
the same round. `TTFT` is the time from sending a request to the first token of its text, `between` that between two
tokens as the client receives them (a server that sends several at once has zeros there), `health` what the server takes
meanwhile to say that it is well. `client %` and `others %` are the shares of all processors that the client had, and
what belongs to no part of the measurement; rounds in which others had over a twentieth do not count, unless all are
such.

In `prefix`, all prompts begin with the same tokens. In `join`, a long prompt joins when all others are being written:
`TTFT` is that of the long one, and `between` that of the others until it has come.

llama-cpp-python's server needs 'llama-cpp-python[server]', in this Python or in that which LLAMA_CPP_PYTHON names; it
answers one request after the other. LLAMA_SERVER names llama.cpp's own server where it is not on the path.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from glassformer.models.config import GPT2Config, read_config
from glassformer.runtime.cpus import default_threads
from peer_rows import DISTURBED
from peer_worker import busy_seconds
from report import cell, show, surroundings
from serving_model import served_gguf, words, write_served
from serving_peers import SERVERS, AbsentError, Room, Server

CLIENT = Path(__file__).with_name("serving_client.py")
WORKS = ("plain", "prefix", "join")
OWN = "glassformer serve"
TIMES = ("first", "between", "health")
JOINED = 16  # streams that others join, or whose prompts begin alike
PACKAGES = ("numpy", "llvmlite", "uvicorn", "starlette", "llama_cpp_python")
Object = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What is asked of a server.

    Attributes:
        streams: at once; each has `each` requests, one after the other.
        prompt: tokens of a prompt in the mean, from half of it to one and a half times as many.
        new: tokens of each text.
        shared: tokens that all prompts begin with, beside.
        join: tokens of the prompt that comes late; 0: none does.
    """

    name: str
    streams: int
    each: int
    prompt: int
    new: int
    shared: int = 0
    join: int = 0

    @property
    def room(self) -> Room:
        """What it needs."""
        longest = max(self.shared + self.prompt * 3 // 2, self.join) + self.new
        return Room(self.streams + (self.join > 0), -(-longest // 64) * 64)

    def prompts(self, number: int) -> list[str]:
        """The texts of a round, never those of another."""
        draw = np.random.default_rng((number, self.streams, self.shared, self.join))
        head = words(self.shared, np.random.default_rng(0))
        lengths = draw.integers(self.prompt // 2, self.prompt * 3 // 2 + 1, self.streams * self.each)
        late = [words(self.join, draw)] if self.join else []
        return [*(head + words(max(length, 1), draw) for length in lengths.tolist()), *late]


@dataclass(frozen=True)
class Round:
    """What a round of one server gave: shares of the processors, and the rest in seconds."""

    speed: float  # tokens a second
    first: list[float]
    between: list[float]
    health: list[float]
    client: float
    others: float

    @classmethod
    def of(cls, work: Work, told: Object, others: float) -> Round:
        """What the client tells."""
        usual = [each for each in told["requests"] if not each["late"]]
        late = [each for each in told["requests"] if each["late"]]
        wrong = [each for each in (*usual, *late) if each["status"] != 200 or not (each["length"] and each["times"])]
        if wrong:
            raise AbsentError(f"{len(wrong)} of {len(told['requests'])} requests were not answered as asked")
        end = max(each["ended"] for each in told["requests"])
        since, until = (late[0]["sent"], late[0]["times"][0]) if late else (0.0, end)
        return cls(
            speed=work.new * len(told["requests"]) / end,
            first=[each["times"][0] - each["sent"] for each in late or usual],
            between=[gap for each in usual for gap in gaps(each["times"], since, until)],
            health=told["health"],
            client=told["processor"] / told["seconds"] / (os.cpu_count() or 1),
            others=others,
        )


def gaps(times: Sequence[float], since: float, until: float) -> list[float]:
    """The times between two tokens of which the latter came in this span, or was waited for in it."""
    return [after - before for before, after in pairwise(times) if after >= since and before <= until]


def turn(server: Server, work: Work, number: int, way: Object) -> Round:
    """One round of one server."""
    prompts = work.prompts(number)
    requests = [
        {"body": server.body(prompt, work.new, way, seed), "late": bool(work.join) and seed == len(prompts) - 1}
        for seed, prompt in enumerate(prompts)
    ]
    load = {"port": server.port, "path": "/v1/completions", "health": server.kind.health, "streams": work.streams,
            "requests": requests}  # fmt: skip
    busy, own = busy_seconds(), server.processor()
    command = [sys.executable, "-S", str(CLIENT)]
    done = subprocess.run(command, input=json.dumps(load), capture_output=True, text=True, check=False)
    if done.returncode:
        raise AbsentError(done.stderr.strip()[-200:])
    told: Object = json.loads(done.stdout)
    known = server.processor() - own + told["processor"]
    others = max(0.0, busy_seconds() - busy - known) / told["seconds"] / (os.cpu_count() or 1)
    return Round.of(work, told, others)


def measure(work: Work, folder: Path, options: argparse.Namespace) -> list[Object]:
    """A row for each server."""
    servers: dict[str, Server] = {}
    failed: dict[str, str] = {}
    rounds: list[dict[str, Round]] = []
    way = {"temperature": 1.0, "top_k": options.top_k, "top_p": 1.0, "min_p": 0.0}
    try:
        for name in options.servers:
            try:
                servers[name] = prepared(name, work, folder, options.threads)
            except AbsentError as error:
                failed[name] = str(error)
        for number in range(options.rounds + 1):
            order = list(servers) if number % 2 else list(reversed(servers))
            rounds.append({name: turn(servers[name], work, number, way) for name in order})
    finally:
        for server in servers.values():
            server.close()
    counted = quiet(rounds[1:])  # the first warmed up
    return [row(work, name, counted, failed.get(name)) for name in options.servers]


def quiet(rounds: list[dict[str, Round]]) -> list[dict[str, Round]]:
    """The rounds that others did not disturb; all of them, if there are none such."""
    return [each for each in rounds if all(one.others <= DISTURBED for one in each.values())] or rounds


def prepared(name: str, work: Work, folder: Path, threads: int) -> Server:
    """A server that is ready, and that reads as many tokens of a prompt as it has words."""
    if name != OWN:
        try:
            served_gguf(folder, read_config(folder))
        except ImportError as error:
            raise AbsentError(f"not installed ({error.name})") from error
    server = Server(SERVERS[name], folder, threads, work.room)
    count = server.prompt_tokens(words(50, np.random.default_rng(1)))
    if count != 50:
        server.close()
        raise AbsentError(f"it reads {count} tokens where there are 50")
    return server


def row(work: Work, name: str, rounds: list[dict[str, Round]], failed: str | None) -> Object:
    """A line of the table."""
    if failed:
        print(f"{name}: {failed}", file=sys.stderr)
    found = [each[name] for each in rounds if name in each]
    first, between, health = ([s for each in found for s in getattr(each, what)] for what in TIMES)
    ratios = [each[OWN].speed / each[name].speed for each in rounds if {OWN, name} <= each.keys()]
    return {
        "work": work.name, "server": name, "tok/s": middle(each.speed for each in found) if found else "absent",
        "ours": middle(ratios), "TTFT p50 ms": part(first, 0.5), "TTFT p99 ms": part(first, 0.99),
        "between p50 ms": part(between, 0.5), "between p99 ms": part(between, 0.99),
        "health p99 ms": part(health, 0.99), "client %": middle(100 * each.client for each in found),
        "others %": middle(100 * each.others for each in found), "counted": len(found),
    }  # fmt: skip


def middle(values: Iterable[float]) -> float | str:
    """The median, if there is one."""
    every = list(values)
    return statistics.median(every) if every else ""


def part(seconds: Sequence[float], share: float) -> float | str:
    """A quantile in milliseconds."""
    return 1e3 * float(np.quantile(seconds, share)) if seconds else ""


def works(options: argparse.Namespace) -> list[Work]:
    """What is measured."""
    found = []
    if "plain" in options.works:
        for streams in options.streams:
            each = max(1, 8 // isqrt(streams))
            found.append(Work(f"{streams} streams", streams, each, options.prompt, options.new))
    if "prefix" in options.works:
        shared = 4 * options.prompt
        name = f"{JOINED} streams, {shared} tokens shared"
        found.append(Work(name, JOINED, 2, options.prompt // 2, options.new, shared=shared))
    if "join" in options.works:
        name = f"{JOINED} streams, {options.join} tokens join"
        found.append(Work(name, JOINED, 1, options.prompt, options.new, join=options.join))
    return found


def compare(folder: Path, options: argparse.Namespace) -> list[Object]:
    """All rows; each is told on standard error as soon as it is there."""
    write_served(folder, GPT2Config())
    rows: list[Object] = []
    for work in works(options):
        for line in measure(work, folder, options):
            print("  ".join(cell(value) for value in line.values()), file=sys.stderr)
            rows.append(line)
    return rows


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--works", type=lambda text: text.split(","), default=list(WORKS), help="plain,prefix,join")
    parser.add_argument("--servers", nargs="+", choices=list(SERVERS), default=list(SERVERS))
    parser.add_argument("--prompt", type=int, default=100, help="tokens of a prompt, in the mean")
    parser.add_argument("--new", type=int, default=64, help="tokens of each text")
    parser.add_argument("--join", type=int, default=900, help="tokens of the prompt that joins late")
    parser.add_argument("--top-k", type=int, default=40, help="most probable tokens that are drawn from; 0: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--folder", type=Path, help="where the model is kept for the next run; else a temporary one")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = parsed()
    facts = surroundings(PACKAGES) | {"threads": str(options.threads), "rounds": str(options.rounds)}
    if options.folder:
        rows = compare(options.folder / "served", options)
    else:
        with tempfile.TemporaryDirectory() as name:
            rows = compare(Path(name) / "served", options)
    show(rows, facts, as_json=options.json, markdown=options.markdown)


if __name__ == "__main__":
    main()
