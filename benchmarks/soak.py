"""A server under mixed traffic for minutes: what it holds has to stay what it was, and every text the model's own.

    python benchmarks/soak.py [--seconds 600] [--clients 24] [--model FOLDER]

Clients in this process stream, read slowly, leave while they wait, are read or are written, ask for several texts, for
log-probabilities, forms, vectors, captures and nonsense, by chance and repeatably. The server has little memory for
keys and values, so that texts lose theirs, and a short queue. Every 30 seconds a line says what it holds. In the end
the traffic stops, and these have to hold: no answer was wrong; memory has grown by less than a tenth since half-time
(before, plans for batches of many forms are made); there are no more threads and files than then; the next request is
answered within a second; and sampled texts are those of `Model.generate` with the same seed. The exit code says whether
they do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import glassformer
from glassformer.models.locate import locate
from report import show, surroundings
from serving_peers import Kind, Room, Server
from serving_traffic import Client, Object, Tally

TEMPLATE = "{% for message in messages %}{{ message.content }} {% endfor %}"
GROWTH = 1.1  # of resident memory in the second half
IDLE = 3.0  # seconds that the server may take to come to rest
SAMPLES = 300  # texts that are compared


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    megabytes: float
    threads: int
    files: int


def held(server: Server) -> Held:
    """What the server holds now."""
    place = Path(f"/proc/{server.process.pid}")
    pages = int((place / "statm").read_text(encoding="ascii").split()[1])
    megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return Held(megabytes, len(list((place / "task").iterdir())), len(list((place / "fd").iterdir())))


def command(folder: Path, port: int, threads: int, room: Room) -> list[str]:
    """A server with little room, whose freed memory goes back to the system, so that it is seen what it uses."""
    given_back = ("MALLOC_MMAP_THRESHOLD_=65536", "MALLOC_TRIM_THRESHOLD_=65536", "MALLOC_ARENA_MAX=2")
    return ["env", *given_back, sys.executable, "-m", "glassformer", "serve", str(folder), "--port", str(port),
            "--threads", str(threads), "--max-batch", "24", "--queue", "48", "--kv-memory", "8",
            "--log-format", "none"]  # fmt: skip


async def rest(server: Server, client: Client) -> Held:
    """What the server holds when nobody asks for anything."""
    end = time.monotonic() + IDLE
    while time.monotonic() < end:
        await asyncio.sleep(0.2)
        _, found = await client.ask("/health", method="GET")
        if found["running"] == found["waiting"] == 0:
            break
    await asyncio.sleep(0.5)
    return held(server)


async def traffic(server: Server, tally: Tally, first: int, clients: int, seconds: float, every: float) -> None:
    """So many clients for so long; a line on standard error now and then."""
    start = time.monotonic()

    async def busy(name: int) -> None:
        client = Client(server.port, name, tally)
        while time.monotonic() < start + seconds:
            await client.once()

    async def tell() -> None:
        while True:
            await asyncio.sleep(every)
            now = held(server)
            statuses: Counter[int] = Counter()
            for (_, status), count in tally.answers.items():
                statuses[status] += count
            shown = ", ".join(f"{status} {count}" for status, count in sorted(statuses.items()))
            line = (
                f"{time.monotonic() - start:6.0f} s  {now.megabytes:6.1f} MB  {now.threads} threads  {now.files} files"
            )
            done = f"{statuses.total()} done ({shown})  {len(tally.wrong)} wrong"
            print(f"{line}  {done}", file=sys.stderr, flush=True)

    telling = asyncio.ensure_future(tell())
    await asyncio.gather(*(busy(first + place) for place in range(clients)))
    telling.cancel()


def differing(folder: Path, samples: list[tuple[Object, str]]) -> list[str]:
    """The texts that are not the model's own."""
    model, found = glassformer.load(folder), []
    for body, text in samples[:SAMPLES]:
        wanted = {name: value for name, value in body.items() if name not in ("prompt", "n", "max_tokens")}
        own = model.generate(str(body["prompt"]), max_new_tokens=body["max_tokens"], **wanted).text
        if own != text:
            found.append(f"{body}: {text!r:.100} instead of {own!r:.100}")
    return found


async def soak(server: Server, options: argparse.Namespace, tally: Tally) -> Object:
    """Warm up, hold the traffic, and say what is held before and after."""
    client = Client(server.port, -1, tally)
    await traffic(server, tally, 0, options.clients, options.seconds / 2, options.every)
    before = await rest(server, client)
    await traffic(server, tally, 1000, options.clients, options.seconds / 2, options.every)
    after = await rest(server, client)
    start = time.perf_counter()
    status, _ = await client.ask("/v1/completions", {"prompt": "A", "max_tokens": 1})
    next_seconds = time.perf_counter() - start
    numbers = (await client.ask("/metrics", method="GET"))[1].decode()
    engine = {name: metric(numbers, name) for name in ("preempted", "accepted", "known_tokens", "generated_tokens")}
    return {
        "requests": tally.answers.total(), "wrong": len(tally.wrong), "MB before": before.megabytes,
        "MB after": after.megabytes, "threads": f"{before.threads} {after.threads}",
        "files": f"{before.files} {after.files}", "next s": next_seconds, **engine,
        "held": after.megabytes <= GROWTH * before.megabytes and after.threads <= before.threads
        and after.files <= before.files and status == 200 and next_seconds <= 1.0,
    }  # fmt: skip


def metric(text: str, name: str) -> int:
    """A counter of the engine."""
    return int(float(text.partition(f"\nglassformer_engine_{name}_total ")[2].split("\n", 1)[0]))


def prepared(model: Path | None, folder: Path) -> Path:
    """A copy of the model that has a chat template."""
    place = folder / "soaked"
    shutil.copytree(locate(model), place)
    if not (place / "chat_template.jinja").exists():
        (place / "chat_template.jinja").write_text(TEMPLATE, encoding="utf8")
    return place


def main() -> None:
    """Hold the traffic and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--every", type=float, default=30, help="seconds between two lines")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", type=Path, help="a folder; without it, the story model")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:
        folder = prepared(options.model, Path(name))
        with Server(
            Kind("glassformer serve", command, "/health", {}), folder, options.threads, Room(24, 512)
        ) as server:
            row = asyncio.run(soak(server, options, tally))
        others = differing(folder, tally.samples)
    for (what, status), count in sorted(tally.answers.items()):
        print(f"{what:12} {status:4} {count}", file=sys.stderr)
    for line in [*tally.wrong[:20], *others[:20]]:
        print(line, file=sys.stderr)
    good = row["held"] and not tally.wrong and not others
    row |= {"compared": min(SAMPLES, len(tally.samples)), "differ": len(others), "verdict": "good" if good else "bad"}
    show([row], surroundings(("numpy", "llvmlite", "uvicorn", "starlette")), as_json=options.json)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
