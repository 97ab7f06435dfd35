"""Glassformer beside llama.cpp, CTranslate2, ONNX Runtime and torch: one random-weight GPT-2, one machine, in turns.

    python benchmarks/peers.py [--rows decode,prefill] [--rounds 7] [--threads 2] [--xl] [--json | --markdown]

Each engine that is installed (extra `peers`) runs in a process of its own; one works while the others sleep. Engines
first have to compute the same logits, within what their precision allows. In every round all engines of a group take a
turn, and memory's reading speed is measured before and after ours; `ratio` is the median over the rounds of our speed
divided by theirs, `tok/s` and `theirs` are each engine's best, `of best` is the first over the second. Against
bandwidth, `theirs` is the speed at which reading the weights and the cache once per token would take all of it.
Rounds in which other programs had over a twentieth of the processors do not count, unless all are such. Those in which
memory was fast make a row of their own, if there are three. CTranslate2 is asked for text, so its prompt includes one
step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config, read_config
from glassformer.runtime.cpus import default_threads
from peer_models import SHAPES, write_model
from peer_rows import (
    DISTURBED,
    GROUPS,
    SHORT,
    Group,
    Rival,
    Turns,
    absent_row,
    lookup_row,
    rival_rows,
    selected,
    share_row,
)
from peer_worker import PeerError, Worker
from report import cell, show, surroundings

OWN_SECTIONS = ("resident", "lookup")  # which no peer takes part in
SECTIONS = (*dict.fromkeys(group.section for group in GROUPS), *OWN_SECTIONS)
CHECKED_TOKENS = 64
# Squared difference of the logits over their square, against our own from the weights as stored. Rounding errors grow
# through the layers of a random network, and eight-bit activations flip at every layer.
LARGEST_NMSE = {
    "f32": 1e-5, "float32": 1e-5, "f16": 1e-5, "bf16": 1e-3, "bf16-dot": 1e-3, "q8": 1e-2, "q8_0": 1e-2, "int8": 1e-2,
    "q4": 0.3, "q4_0": 0.3,
}  # fmt: skip
MOST_MB_OVER = 60  # of resident memory, over the weights and the cache
RESIDENT = """
import sys
import numpy as np
from glassformer.models.load import load_network
from glassformer.runtime.machine import resident_bytes

network = load_network(sys.argv[1], dtype="q8", threads=int(sys.argv[2]))
cache = network.new_cache(network.config.n_positions)
network.forward(np.ones(cache.capacity - 16, np.int32), cache)
for _ in range(16):
    network.forward(np.ones(1, np.int32), cache)
print(resident_bytes(), network.weights.nbytes + cache.nbytes)
"""
PACKAGES = ("numpy", "llvmlite", "llama_cpp_python", "ctranslate2", "onnxruntime", "torch", "transformers")


class Comparison:
    """Runs groups on models in a folder; workers live as long as their group."""

    def __init__(self, folder: Path, threads: int, rounds: int) -> None:
        self.folder, self.threads, self.rounds = folder, threads, rounds
        self.disturbed = self.measured = 0  # rounds
        self.references: dict[str, npt.NDArray[np.float64]] = {}

    def start(self, rival: Rival, shape: str) -> Worker:
        """A worker for an engine."""
        return Worker(rival.engine, rival.kind, self.folder / shape, self.threads, rival.target)

    def prepare(self, shape: str, config: GPT2Config, dtype: npt.DTypeLike) -> None:
        """Write a model, unless it is there, and compute the logits that all have to agree with."""
        folder = self.folder / shape
        if not (folder / "config.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_model(folder, config, dtype)
        worker = self.start(Rival("glassformer", "auto"), shape)
        self.references[shape] = np.array(worker.ask("logits", CHECKED_TOKENS))
        worker.close()

    def check(self, worker: Worker, kind: str, shape: str) -> None:
        """Refuse an engine that computes something else."""
        exact = self.references[shape]
        error = float(np.sum((np.array(worker.ask("logits", CHECKED_TOKENS)) - exact) ** 2) / np.sum(exact**2))
        if not error <= LARGEST_NMSE[kind]:
            worker.close()
            raise PeerError(f"its logits differ: NMSE {error:.2g}, at most {LARGEST_NMSE[kind]:g}")

    def run(self, group: Group) -> list[dict[str, object]]:
        """The group's rows."""
        workers: dict[Rival, Worker] = {}
        failed: dict[Rival, str] = {}
        for rival in (group.own, *group.rivals):
            try:
                workers[rival] = self.start(rival, group.shape)
                self.check(workers[rival], rival.kind, group.shape)
                workers[rival].ask(*(rival.work or group.work).question)  # a turn that warms up
            except PeerError as error:
                failed[rival] = str(error)
                workers.pop(rival, None)
        memory = self.start(Rival("memory", ""), group.shape) if group.share else None
        try:
            if group.own in failed:
                return [absent_row(group, group.own, failed[group.own])]
            return self.rows(group, workers, memory, failed)
        finally:
            for worker in (*workers.values(), *([memory] if memory else [])):
                worker.close()

    def rows(
        self, group: Group, workers: dict[Rival, Worker], memory: Worker | None, failed: dict[Rival, str]
    ) -> list[dict[str, object]]:
        """Take turns, then make rows."""
        turns = Turns(rivals={rival: [] for rival in group.rivals if rival in workers})
        order = list(workers)
        for number in range(self.rounds):
            turns.others.append(0.0)
            for rival in reversed(order) if number % 2 else order:
                question = (rival.work or group.work).question
                before = memory.ask("bandwidth") if memory and rival == group.own else 0.0
                seconds = workers[rival].ask(*question)
                turns.others[-1] = max(turns.others[-1], workers[rival].others)
                if rival != group.own:
                    turns.rivals[rival].append(seconds)
                    continue
                turns.own.append(seconds)
                turns.gigabytes.append((before, memory.ask("bandwidth") if memory else 0.0))
                turns.others[-1] = max(turns.others[-1], memory.others if memory else 0.0)
        self.disturbed += sum(share > DISTURBED for share in turns.others)
        self.measured += self.rounds
        rows = [share_row(group, turns, workers[group.own].facts)] if group.share else []
        for rival in group.rivals:
            rows += [absent_row(group, rival, failed[rival])] if rival in failed else rival_rows(group, rival, turns)
        return rows

    def resident(self) -> dict[str, object]:
        """Memory of a process that holds the Q8 model and a full context, and does nothing else."""
        command = [sys.executable, "-c", RESIDENT, str(self.folder / "124m"), str(self.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        resident, held = map(int, done.stdout.split())
        over = (resident - held) / 1e6
        return {
            "work": "resident, context 1,024", "weights": "q8", "against": "weights + cache, MB over", "tok/s": "",
            "theirs": held / 1e6, "ratio": over, "of best": "", "goal": f"<= {MOST_MB_OVER}",
            "met": "yes" if over <= MOST_MB_OVER else "no",
        }  # fmt: skip


def lookup(options: argparse.Namespace) -> list[dict[str, object]]:
    """Prompt lookup against ourselves without it, which benchmarks/speculative.py measures."""
    script = Path(__file__).with_name("speculative.py")
    command = [sys.executable, str(script), "--json", "--rounds", str(options.rounds)]
    command += ["--threads", str(options.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return [absent_row(Group("lookup", SHORT, "q8"), Rival("glassformer", "q8"), done.stderr.strip()[-200:])]
    return [lookup_row(json.loads(line)) for line in done.stdout.splitlines()]


def compare(comparison: Comparison, options: argparse.Namespace) -> list[dict[str, object]]:
    """All rows that were asked for; each is told on standard error as soon as it is there."""
    sections = options.rows
    rows: list[dict[str, object]] = []
    for shape in ("124m", "xl"):
        groups = [group for group in selected(sections) if group.shape == shape]
        if not groups and not (shape == "124m" and set(sections) & set(OWN_SECTIONS)):
            continue
        config = read_config(options.config) if options.config and shape == "124m" else SHAPES[shape]
        comparison.prepare(shape, config, np.float16 if shape == "xl" else np.float32)
        for group in groups:
            rows += told(comparison.run(group))
        if shape == "124m" and "resident" in sections:
            rows += told([comparison.resident()])
        if shape == "124m" and "lookup" in sections:
            rows += told(lookup(options))
    return rows


def told(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows, once they are on standard error."""
    for row in rows:
        print("  ".join(cell(v) for v in row.values()), file=sys.stderr)
    return rows


def sections(text: str) -> tuple[str, ...]:
    """Names of sections, separated by commas."""
    names = tuple(text.split(","))
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"no rows {sorted(unknown)}; there are {', '.join(SECTIONS)}")
    return names


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = tuple(name for name in SECTIONS if name != "xl")
    parser.add_argument("--rows", type=sections, default=everything, help=f"some of {', '.join(SECTIONS)}")
    parser.add_argument("--xl", action="store_true", help="GPT-2 XL too: 1.5 billion weights, 10 GB of disk and memory")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--config", type=Path, help="folder with a config.json to take instead of GPT-2 124M")
    parser.add_argument("--folder", type=Path, help="where models are kept for the next run; else a temporary one")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    options = parser.parse_args()
    options.rows += ("xl",) if options.xl and "xl" not in options.rows else ()
    return options


def main() -> None:
    options = parsed()
    facts: dict[str, Any] = surroundings(PACKAGES) | {"threads": str(options.threads), "rounds": str(options.rounds)}
    if options.folder:
        comparison = Comparison(options.folder, options.threads, options.rounds)
        rows = compare(comparison, options)
    else:
        with tempfile.TemporaryDirectory() as name:
            comparison = Comparison(Path(name), options.threads, options.rounds)
            rows = compare(comparison, options)
    facts["disturbed rounds"] = f"{comparison.disturbed} of {comparison.measured}"
    show(rows, facts, as_json=options.json, markdown=options.markdown)


if __name__ == "__main__":
    main()
