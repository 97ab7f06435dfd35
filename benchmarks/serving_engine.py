"""The engine without HTTP: tokens a second and the wait for the first token, by the number of texts at once.

    python benchmarks/serving_engine.py [FOLDER] [--dtype q8] [--streams 1 4 16 64] [--prompt 100] [--new 64] [--json]

All texts of a row are asked for at the same moment, with prompts of random tokens whose lengths differ around the one
given; with --shared-prefix they begin with the same tokens. `TTFT` is the time to the first token, `between` that
between two tokens of a text, `alone` the speed of a text that is continued without an engine. With --join, further
texts join while those of the row are being written, and `between` says how much these are held up.
"""

from __future__ import annotations

import argparse
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import glassformer
from glassformer.generation.asked import Asked
from glassformer.generation.live_stream import LiveStream
from glassformer.generation.serving import Engine
from glassformer.model import Model
from report import show, surroundings


@dataclass
class Text:
    """A prompt, and when its tokens came."""

    ids: list[int]
    asked: float = 0.0
    times: list[float] = field(default_factory=list)
    stream: LiveStream | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, engine: Engine, way: Asked) -> None:
        """Let it be continued."""
        self.asked = time.perf_counter()
        self.stream = engine.submit(self.ids, way, notify=self.came)

    def came(self) -> None:
        """Something arrived: tokens, or at last the end."""
        now = time.perf_counter()
        if self.stream is not None:
            self.times += [now] * len(self.stream.ready())
            if self.stream.ended:
                self.ended.set()


def texts_of(model: Model, count: int, options: argparse.Namespace) -> list[Text]:
    """Prompts of random tokens, half as long to one and a half times as long as asked, what they share not counted."""
    draw = np.random.default_rng(count)
    size = model.config.vocab_size
    shared = np.random.default_rng(0).integers(0, size, options.shared_prefix).tolist()
    lengths = draw.integers(options.prompt // 2, options.prompt * 3 // 2 + 1, count)
    return [Text([*shared, *draw.integers(0, size, max(length, 1)).tolist()]) for length in lengths]


def measure(model: Model, count: int, options: argparse.Namespace, alone: float) -> dict[str, object]:
    """A row of the table, with an engine of its own, whose plans a first round has made."""
    way = Asked(do_sample=not options.greedy, temperature=1.0, seed=1, max_new_tokens=options.new, ignore_eos=True)
    for _ in (True, False):
        with Engine(model) as engine:
            texts = texts_of(model, count, options)
            late = texts_of(model, options.join, options) if options.join else []
            start = time.perf_counter()
            for text in texts:
                text.ask(engine, way)
            for text in late:
                time.sleep(0.02)
                text.ask(engine, way)
            for text in (*texts, *late):
                text.ended.wait()
            seconds, metrics = time.perf_counter() - start, engine.metrics()
    first = [text.times[0] - text.asked for text in [*texts, *late]]
    between = np.concatenate([np.diff(text.times) for text in texts])
    return {
        "streams": count, "tok/s": metrics.generated_tokens / seconds, "alone tok/s": alone,
        "prompt tok": metrics.prompt_tokens, "known": metrics.known_tokens,
        "TTFT p50 ms": 1e3 * float(np.median(first)), "TTFT max ms": 1e3 * max(first),
        "between p50 ms": 1e3 * float(np.median(between)), "between p99 ms": 1e3 * float(np.quantile(between, 0.99)),
        "preempted": metrics.preempted, "accepted": metrics.accepted, "steps": metrics.steps,
    }  # fmt: skip


def speed_alone(model: Model, options: argparse.Namespace) -> float:
    """Tokens a second of a text that is continued without an engine, its prompt not counted."""
    ids = texts_of(model, 1, options)[0].ids
    for _ in range(2):
        found = model.generate(ids, do_sample=not options.greedy, temperature=1.0, seed=1, max_new_tokens=options.new,
                               ignore_eos=True)  # fmt: skip
    return found.timings.tokens_per_second


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a model; without it, the story model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--prompt", type=int, default=100, help="tokens of a prompt, in the mean")
    parser.add_argument("--shared-prefix", type=int, default=0, help="tokens that all prompts begin with, beside")
    parser.add_argument("--new", type=int, default=64, help="tokens of each continuation")
    parser.add_argument("--join", type=int, default=0, help="texts that join, one each 20 ms")
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    model = glassformer.load(options.folder, dtype=options.dtype, threads=options.threads)
    alone = speed_alone(model, options)
    rows = [measure(model, count, options, alone) for count in options.streams]
    show(rows, surroundings(["llvmlite", "numpy"]), as_json=options.json)


if __name__ == "__main__":
    main()
