"""Prompt and decoding speed of a GPT-2 with random weights, beside torch (through transformers), taking turns in one
run.

    python benchmarks/decode.py [--config FOLDER] [--prompt 128] [--new 64] [--rounds 5] [--threads 2] [--json]

The same weights, drawn from a seed and written to a temporary safetensors file, go to each engine that is installed.
The logits are compared first. Each figure is the best of the rounds; the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.formats.safetensors import save_safetensors
from glassformer.models.config import GPT2Config, expected_tensors, read_config
from glassformer.models.load import load_network
from report import show, surroundings

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Engine:
    """How to read a prompt into a new state, and how to take one token further; each gives the last logits."""

    name: str
    prompt: Callable[[Ids], tuple[Any, npt.NDArray[np.float32]]]
    step: Callable[[Any, int], npt.NDArray[np.float32]]


def write_model(folder: Path, config: GPT2Config) -> None:
    """A folder in Hugging Face form with random F32 weights."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in expected_tensors(config).items():
        mean = 1.0 if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")) else 0.0
        tensors[name] = rng.standard_normal(shape, dtype=np.float32) * 0.05 + np.float32(mean)
    save_safetensors(folder / "model.safetensors", tensors, metadata={"format": "pt"})
    keys = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "tie_word_embeddings")
    described = {key: getattr(config, key) for key in keys}
    text = json.dumps({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **described})
    (folder / "config.json").write_text(text, encoding="utf8")


def own_engine(folder: Path, threads: int | None, capacity: int, dtype: str) -> Engine:
    """Glassformer."""
    network = load_network(folder, dtype=dtype, threads=threads)

    def prompt(ids: Ids) -> tuple[Any, npt.NDArray[np.float32]]:
        cache = network.new_cache(capacity)
        return cache, network.forward(ids, cache)[0]

    def step(cache: Any, token: int) -> npt.NDArray[np.float32]:
        return network.forward(np.array([token], np.int32), cache)[0]

    return Engine("glassformer", prompt, step)


def torch_engine(folder: Path, threads: int | None) -> Engine | None:
    """transformers over torch, or None where they are not installed."""
    try:
        import torch
        import transformers
    except ImportError:
        return None
    if threads:
        torch.set_num_threads(threads)
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()

    def run(ids: Any, past: Any) -> tuple[Any, npt.NDArray[np.float32]]:
        with torch.inference_mode():
            out = model(
                torch.as_tensor(ids, dtype=torch.int64)[None], past_key_values=past, use_cache=True, logits_to_keep=1
            )
        return out.past_key_values, out.logits[0, -1].numpy()

    return Engine("torch", lambda ids: run(ids, None), lambda past, token: run(np.array([token]), past)[1])


def time_engine(engine: Engine, ids: Ids, new: int) -> tuple[float, float, npt.NDArray[np.float32]]:
    """Prompt tokens a second, decoded tokens a second, and the logits after the prompt."""
    start = time.perf_counter()
    state, first = engine.prompt(ids)
    read = time.perf_counter()
    token = int(first.argmax())
    for _ in range(new):
        token = int(engine.step(state, token).argmax())
    return len(ids) / (read - start), new / (time.perf_counter() - read), first


def compare(engines: list[Engine], ids: Ids, new: int, rounds: int, *, exact: bool) -> list[dict[str, object]]:
    """Rows of the table, after the engines have been found to agree."""
    logits = [time_engine(engine, ids, 2)[2] for engine in engines]
    spread = float(logits[0].max() - logits[0].min())
    apart = max(float(np.abs(other - logits[0]).max()) / spread for other in logits)
    if apart > (1e-4 if exact else 0.1):
        sys.exit(f"the engines' logits differ by {apart:.2g} of their range")
    runs = {engine.name: [] for engine in engines}  # type: dict[str, list[tuple[float, float]]]
    for _ in range(rounds):
        for engine in engines:
            runs[engine.name].append(time_engine(engine, ids, new)[:2])
    own = runs[engines[0].name]
    rows: list[dict[str, object]] = []
    for name, figures in runs.items():
        row: dict[str, object] = {"engine": name}
        for place, what in enumerate(("prompt", "decode")):
            row[f"{what} tok/s"] = max(f[place] for f in figures)
            row[f"{what} ratio"] = statistics.median(o[place] / f[place] for o, f in zip(own, figures, strict=True))
        rows.append({**row, "logits apart": apart})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="folder with a config.json; by default GPT-2 124M")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of the prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens to decode")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--dtype", default="auto", help="how Glassformer holds its weights: auto (F32 here), bf16, f16, q8"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    config = read_config(options.config) if options.config else GPT2Config()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder, config)
        found = [
            own_engine(folder, options.threads, options.prompt + options.new + 1, options.dtype),
            torch_engine(folder, options.threads),
        ]
        engines = [engine for engine in found if engine]
        ids = np.random.default_rng(1).integers(0, config.vocab_size, options.prompt).astype(np.int32)
        rows = compare(engines, ids, options.new, options.rounds, exact=options.dtype == "auto")
    show(rows, surroundings(("numpy", "llvmlite", "torch", "transformers")), as_json=options.json)


if __name__ == "__main__":
    main()
