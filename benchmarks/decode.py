"""Prompt and decoding speed of a GPT-2 with random weights, beside CTranslate2 and torch, taking turns in one run.

    python benchmarks/decode.py [--config FOLDER] [--prompt 128] [--new 64] [--rounds 5] [--threads 2] [--json]

The same weights, drawn from a seed and written to a temporary folder, go to each engine that is installed. The logits
are compared first. Each figure is the best of the rounds; the ratio is the median of the rounds' ratios.
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
from glassformer.runtime.cpus import default_threads
from report import show, surroundings

Ids = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Engine:
    """`run(ids, new)`: seconds for the prompt, and for `new` tokens after it; `logits(ids)`: those after the prompt."""

    name: str
    run: Callable[[Ids, int], tuple[float, float]]
    logits: Callable[[Ids], Float32]


def write_model(folder: Path, config: GPT2Config) -> None:
    """A folder in Hugging Face form with random F32 weights."""
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in expected_tensors(config).items():
        mean = 1.0 if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")) else 0.0
        tensors[name] = rng.standard_normal(shape, dtype=np.float32) * 0.05 + np.float32(mean)
    save_safetensors(folder / "model.safetensors", tensors, metadata={"format": "pt"})
    keys = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "tie_word_embeddings")
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    described = {key: getattr(config, key) for key in keys}
    text = json.dumps({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **ends, **described})
    (folder / "config.json").write_text(text, encoding="utf8")
    # A vocabulary of made-up words, because CTranslate2's converter wants one.
    vocabulary = {word(token): token for token in range(config.vocab_size)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf8")


def word(token: int) -> str:
    """The made-up word of a token."""
    return f"word{token}" if token else "<|endoftext|>"


def stepwise(
    name: str, prompt: Callable[[Ids], tuple[Any, Float32]], step: Callable[[Any, int], tuple[Any, Float32]]
) -> Engine:
    """An engine that reads a prompt into a state, and takes the state one token further."""

    def run(ids: Ids, new: int) -> tuple[float, float]:
        start = time.perf_counter()
        state, logits = prompt(ids)
        read = time.perf_counter()
        for _ in range(new):
            state, logits = step(state, int(logits.argmax()))
        return read - start, time.perf_counter() - read

    return Engine(name, run, lambda ids: prompt(ids)[1])


def own_engine(folder: Path, options: argparse.Namespace) -> Engine:
    """Glassformer."""
    network = load_network(folder, dtype=options.dtype, threads=options.threads)

    def prompt(ids: Ids) -> tuple[Any, Float32]:
        cache = network.new_cache(options.prompt + options.new + 1)
        return cache, network.forward(ids, cache)[0]

    def step(cache: Any, token: int) -> tuple[Any, Float32]:
        return cache, network.forward(np.array([token], np.int32), cache)[0]

    return stepwise("glassformer", prompt, step)


def torch_engine(folder: Path, options: argparse.Namespace) -> Engine | None:
    """transformers over torch, or None where they are not installed."""
    try:
        import torch
        import transformers
    except ImportError:
        return None
    if options.threads:
        torch.set_num_threads(options.threads)
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()

    def run(ids: Any, past: Any) -> tuple[Any, Float32]:
        inputs = torch.as_tensor(ids, dtype=torch.int64)[None]
        with torch.inference_mode():
            out = model(inputs, past_key_values=past, use_cache=True, logits_to_keep=1)
        return out.past_key_values, out.logits[0, -1].numpy()

    return stepwise("torch", lambda ids: run(ids, None), lambda past, token: run(np.array([token]), past))


def ctranslate2_engine(folder: Path, options: argparse.Namespace) -> Engine | None:
    """CTranslate2, or None where it (or transformers, which its converter needs) is not installed."""
    try:
        import ctranslate2
        from ctranslate2.converters import TransformersConverter
    except ImportError:
        return None
    TransformersConverter(str(folder)).convert(str(folder / "ctranslate2"), force=True)
    threads = options.threads or default_threads()
    model = ctranslate2.Generator(
        str(folder / "ctranslate2"), device="cpu", compute_type="float32", intra_threads=threads, inter_threads=1
    )

    def seconds(ids: Ids, new: int) -> float:
        start = time.perf_counter()
        words = [[word(int(token)) for token in ids]]
        lengths = {"max_length": new, "min_length": new}
        model.generate_batch(words, **lengths, sampling_topk=1, include_prompt_in_result=False, end_token=[])
        return time.perf_counter() - start

    def run(ids: Ids, new: int) -> tuple[float, float]:
        prompt = seconds(ids, 1)
        return prompt, seconds(ids, new + 1) - prompt

    return Engine("ctranslate2", run, lambda ids: np.array(model.forward_batch([ids.tolist()]))[0, -1])


def compare(engines: list[Engine], ids: Ids, new: int, rounds: int, *, exact: bool) -> list[dict[str, object]]:
    """Rows of the table, after the engines have been found to agree."""
    logits = [engine.logits(ids) for engine in engines]
    spread = float(logits[0].max() - logits[0].min())
    apart = [float(np.abs(other - logits[0]).max()) / spread for other in logits]
    if max(apart) > (1e-4 if exact else 0.1):
        sys.exit(f"the engines' logits differ by {max(apart):.2g} of their range")
    runs: dict[str, list[tuple[float, float]]] = {engine.name: [] for engine in engines}
    for engine in engines:
        engine.run(ids, 2)
    for _ in range(rounds):
        for engine in engines:
            runs[engine.name].append(engine.run(ids, new))
    own = runs[engines[0].name]
    rows: list[dict[str, object]] = []
    for (name, figures), difference in zip(runs.items(), apart, strict=True):
        row: dict[str, object] = {"engine": name}
        for place, (what, tokens) in enumerate((("prompt", len(ids)), ("decode", new))):
            row[f"{what} tok/s"] = tokens / min(f[place] for f in figures)
            row[f"{what} ratio"] = statistics.median(f[place] / o[place] for o, f in zip(own, figures, strict=True))
        rows.append({**row, "logits apart": difference})
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
        found = [make(folder, options) for make in (own_engine, ctranslate2_engine, torch_engine)]
        engines = [engine for engine in found if engine]
        ids = np.random.default_rng(1).integers(0, config.vocab_size, options.prompt).astype(np.int32)
        rows = compare(engines, ids, options.new, options.rounds, exact=options.dtype == "auto")
    show(rows, surroundings(("numpy", "llvmlite", "ctranslate2", "torch", "transformers")), as_json=options.json)


if __name__ == "__main__":
    main()
