"""What choosing a token costs over GPT-2's vocabulary, log-probability included, beside a decode step of 124M weights.

    python benchmarks/sampling.py [--dtype q8] [--threads N] [--rounds 400] [--json]

A choice is one of those behind the passes of a stride, on all threads. `from Python` is one that is asked for by
itself, as where a penalty changes the logits, and `each of 16` one of those for a batch of texts. The step is one token
through a network of random weights. All are the best of the rounds; `by NumPy` is the definition.

`in place %` is what strides take longer with choices than without, which is what counts: there the weights have swept
the caches in between. It is the median of pairs, beside its quartiles; logits are those of the random network, which
are nearly even.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glassformer.generation import filters
from glassformer.generation.options import SamplingOptions
from glassformer.generation.sampling import ask, choose, cut, wish
from glassformer.kernels.attention import TILE
from glassformer.models.config import GPT2Config
from glassformer.models.gpt2 import GPT2
from glassformer.models.load import load_network
from glassformer.runtime.executor import Eager
from glassformer.runtime.plan import Plan
from glassformer.runtime.sampling import MOST, Sampler
from glassformer.runtime.side_by_side import planned
from peer_models import write_model
from report import show, surroundings

TEXTS = 16
STRIDE = 8  # tokens that are decoded in one go
CASES = {
    "greedy": SamplingOptions(),
    "temperature": SamplingOptions(do_sample=True, temperature=0.8),
    "temperature, top_k": SamplingOptions(do_sample=True, temperature=0.8, top_k=50),
    "temperature, top_k, top_p": SamplingOptions(do_sample=True, temperature=0.8, top_k=50, top_p=0.95),
    "temperature, top_p": SamplingOptions(do_sample=True, temperature=0.8, top_p=0.95),
    "temperature, min_p": SamplingOptions(do_sample=True, temperature=0.8, min_p=0.05),
    "typical_p": SamplingOptions(do_sample=True, typical_p=0.9),
}


def best_seconds(run: Callable[[], object], rounds: int) -> float:
    """The shortest of some runs."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def step_seconds(network: GPT2, rounds: int) -> float:
    """One decode step of GPT-2 124M."""
    cache = network.new_cache(rounds + 8)
    token = np.array([7], np.int32)
    for _ in range(4):
        network.forward(token, cache)
    return best_seconds(lambda: network.forward(token, cache), min(rounds, 1000))


def stride_seconds(sampler: Sampler, logits: np.ndarray, asked: SamplingOptions, rounds: int) -> float:
    """One choice of those that follow each other without coming back to Python, as behind the passes of a stride.

    logits: [texts, vocab_size], of which each choice has others: a processor learns its way through ones that it knows.
    """
    row = np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros((1, TILE), np.int64)
    plans = [sampler.behind(logits[place % TEXTS][np.newaxis], *row) for place in range(MOST)]
    records = np.concatenate([plan.records for plan in plans])

    def choices() -> None:
        ask(sampler, asked, 0, MOST)
        plans[0].executor.replay(records)

    return best_seconds(choices, rounds) / MOST


class Nobody:
    """Stands for a sampler that chooses nothing: passes over the same row follow each other."""

    def __init__(self, executor: Eager) -> None:
        self.plan = planned(executor, [])

    def check_room(self, count: int) -> None:
        """There is room for nothing as often as you like."""

    def behind(self, *_: object) -> Plan:
        """No launch."""
        return self.plan


def in_place_shares(network: GPT2, rounds: int) -> dict[str, list[float]]:
    """By case what choices add to strides, each beside one without, as shares."""
    cache, sampler = network.new_cache(64), network.sampler()
    nobody: Any = Nobody(sampler.executor)
    network.forward(np.arange(8, dtype=np.int32), cache)
    shares: dict[str, list[float]] = {name: [] for name in CASES}
    order = np.random.default_rng(0)
    for _ in range(rounds + 1):
        for name in order.permutation(list(CASES)):
            seconds = []
            for asked in (None, CASES[name]):
                cache.truncate(8)
                if asked:
                    ask(sampler, asked, 0, STRIDE)
                start = time.perf_counter()
                network.decode(7, cache, sampler if asked else nobody, STRIDE)
                seconds.append(time.perf_counter() - start)
            shares[name].append(seconds[1] / seconds[0] - 1)
    return {name: found[1:] for name, found in shares.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="q8", help="how the network holds its weights")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name), GPT2Config())
        network = load_network(Path(name), dtype=options.dtype, threads=options.threads)
    step, in_place = step_seconds(network, options.rounds), in_place_shares(network, options.rounds)
    rng = np.random.default_rng(0)
    rows = []
    for spread in (1.0, 4.0):  # a nearly even distribution and a peaked one
        logits = (rng.standard_normal((TEXTS, network.config.vocab_size)) * spread).astype(np.float32)
        for name, asked in CASES.items():
            sampler = network.sampler()
            spent = stride_seconds(sampler, logits, asked, options.rounds)
            row: dict[str, object] = {"choice": name, "spread of logits": spread, "us": spent * 1e6}
            quartiles = np.percentile(in_place[name], [50, 25, 75]) * 100
            row |= {"% of a step": 100 * spent / step, "in place %": "{:.2f} ({:.2f} to {:.2f})".format(*quartiles)} | {
                column: best_seconds(run, options.rounds) * 1e6 / TEXTS
                for column, run in (
                    ("from Python us", partial(one_by_one, sampler, logits, asked)),
                    (f"each of {TEXTS} us", partial(together, sampler, logits, asked)),
                )
            }
            rows.append({**row, "by NumPy us": numpy_seconds(logits[0], asked) * 1e6, "step us": step * 1e6})
    show(rows, surroundings(["llvmlite", "numpy"]), as_json=options.json)


def one_by_one(sampler: Sampler, logits: np.ndarray, asked: SamplingOptions) -> None:
    """The same, asked for one after the other."""
    for row in logits:
        choose(row, [1], [2], asked, sampler)


def together(sampler: Sampler, logits: np.ndarray, asked: SamplingOptions) -> None:
    """A token for each of several texts."""
    sampler.choose_all(logits, [wish(asked, place) for place in range(TEXTS)])


def numpy_seconds(logits: np.ndarray, asked: SamplingOptions) -> float:
    """The same choice by the definition, without the log-probability."""
    if asked.greedy:
        return best_seconds(lambda: int(np.argmax(logits)), 20)
    return best_seconds(lambda: filters.draw(filters.distribution(logits, cut(asked)), 0.5), 5)


if __name__ == "__main__":
    main()
