"""What looking costs while a model of GPT-2's shape decodes: with and without, alternating in one run.

    python benchmarks/capture.py [--model FOLDER] [--dtype q8] [--context 1024] [--rounds 100] [--threads N] [--json]

Without a folder, the model has random weights. Each round decodes some tokens without and some with each observation,
as `trace` does, in an order that turns from round to round, at the end of a context of random tokens; the first of them
are not counted, for what the other way has left in the caches, and the best of the others is, for what else the machine
does. `slower` is the median of the rounds' quotients, less 1, and the quarters beside it say how far rounds scatter.
"nothing" is measured against itself.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from glassformer.models.config import GPT2Config
from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.models.observer import Observation
from glassformer.runtime.frames import LEASE, Frame, FrameLayout, FrameStore
from glassformer.runtime.kv_cache import KVCache
from peer_models import write_model
from report import show, surroundings

CASES = {
    "nothing": (),
    "one residual": ("blocks.5.hook_resid_post",),
    "one pattern": ("blocks.5.attn.hook_pattern",),
    "one layer of neurons": ("blocks.5.mlp.hook_post",),
    "every residual": ("blocks.*.hook_resid_post",),
    "every pattern": ("blocks.*.attn.hook_pattern",),
    "everything": ("*",),
}
STEPS = 12  # in one go, as a trace of a model of this size
GOES = 4  # one after the other, of which the first is not counted


class Case:
    """One way of looking, and the memory that it needs."""

    def __init__(self, network: GPT2, globs: Sequence[str], context: int) -> None:
        names = [
            name
            for name in network.places
            if not name.endswith("hook_result") and any(fnmatchcase(name, glob) for glob in globs)
        ]
        layout = FrameLayout({name: network.places[name] for name in names}, 1, context)
        self.nbytes = layout.nbytes
        self.store = FrameStore(
            layout, 2 * max(LEASE, STEPS)
        )  # what one go has written is held while the next one writes
        self.observation = Observation(tuple(names)) if names else None
        self.sampler = network.sampler()
        self.held: Frame | None = None

    def go(self, network: GPT2, token: int, cache: KVCache) -> float:
        """Seconds that a token takes, always behind the same context."""
        length = cache.length
        start = time.perf_counter()
        self.sampler.ask(None, [0.0] * STEPS)
        if self.observation is None:
            network.decode(token, cache, self.sampler, STEPS)
        else:
            frame = self.store.take(length, STEPS)
            network.decode(token, cache, self.sampler, STEPS, observation=self.observation, frame=frame)
            self.held = frame
        spent = time.perf_counter() - start
        cache.truncate(length)
        return spent / STEPS

    def measure(self, network: GPT2, token: int, cache: KVCache) -> float:
        """The same, the best of some goes."""
        return min([self.go(network, token, cache) for _ in range(GOES)][1:])


def measure(network: GPT2, context: int, rounds: int) -> list[dict[str, object]]:
    """A row for each case."""
    cases = {name: Case(network, globs, context) for name, globs in CASES.items()}
    plain = Case(network, (), context)
    cache = network.new_cache(context)
    ids = np.random.default_rng(0).integers(0, network.config.vocab_size, context).astype(np.int32)
    network.forward(ids[:-STEPS], cache)
    token, names = int(ids[-STEPS]), list(cases)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for turn in range(rounds + 3):
        for name in names if turn % 2 else reversed(names):
            pair = [plain, cases[name]] if turn // 2 % 2 else [cases[name], plain]
            times = [case.measure(network, token, cache) for case in pair]
            if turn >= 3:
                spent[name].append((times[0], times[1]) if pair[0] is plain else (times[1], times[0]))
    rows = []
    for name, pairs in spent.items():
        without, observed = np.array(pairs).T
        low, middle, high = np.percentile(observed / without - 1, [25, 50, 75]) * 100
        row: dict[str, object] = {"captured": name, "bytes a step": cases[name].nbytes}
        row |= {"ms": float(np.median(observed)) * 1e3, "without ms": float(np.median(without)) * 1e3}
        rows.append({**row, "slower %": middle, "quarter %": low, "three quarters %": high})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder in Hugging Face form; by default random weights")
    parser.add_argument("--dtype", default="q8", help="how the network holds its weights")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.model
        if folder is None:
            folder = Path(name)
            write_model(folder, GPT2Config())
        network = load_network(folder, dtype=options.dtype, threads=options.threads)
        rows = measure(network, options.context, options.rounds)
    shape = {"dtype": options.dtype, "context": options.context, "threads": network.ops.executor.threads}
    show([{**shape, **row} for row in rows], surroundings(["llvmlite", "numpy"]), as_json=options.json)


if __name__ == "__main__":
    main()
