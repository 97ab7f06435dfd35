"""Prompt lookup against plain greedy decoding, in turns: the same tokens, and how much sooner.

    python benchmarks/speculative.py [--dtype q8] [--rounds 5] [--tokenizer FOLDER] [--text FILE ...] [--json]

The network is GPT-2 124M in shape, with random weights, so it does what a trained one does and takes the time that it
takes, but has nothing to say. What it says is therefore given: after each pass the next token of a real text is made
the most probable one. The texts are an edit of a source file and a summary in its sentences, where the prompt holds the
original, and prose that is new. Files given by --text are more prose: the first part is the prompt. `own greedy` is
what the random network says by itself, and the last rows are what the model inside the package says by itself.
"""

from __future__ import annotations

import argparse
import itertools
import re
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import glassformer
from glassformer.generation.continuation import Generation
from glassformer.model import Model
from glassformer.models.config import GenerationConfig, GPT2Config
from glassformer.models.load import load_network
from glassformer.models.locate import EMBEDDED
from glassformer.tokenizer.tokenizer import Tokenizer
from peer_models import write_model
from report import show, surroundings

ROOT = Path(__file__).parents[1]
PROMPT, NEW = 300, 256  # tokens


@dataclass(frozen=True)
class Case:
    """A prompt, and the ids that follow it."""

    name: str
    prompt: list[int]
    answer: list[int]


class Dictated:
    """A network whose most probable tokens are those of a given text."""

    def __init__(self, inner: Any, text: Sequence[int]) -> None:
        self.inner, self.text, self.config = inner, text, inner.config

    def new_cache(self, capacity: int) -> Any:
        """The network's own."""
        return self.inner.new_cache(capacity)

    def forward(self, ids: np.ndarray, cache: Any, *, last_only: bool = True) -> np.ndarray:
        """The network's logits, with the next token of the text raised over all others."""
        logits: np.ndarray = self.inner.forward(ids, cache, last_only=last_only)
        for row in range(len(logits)):
            place = cache.length - len(logits) + row + 1
            if place < len(self.text):
                logits[row, self.text[place]] = 1e4
        return logits


def edited(source: str) -> str:
    """A source file after an edit: a name changed throughout, a parameter added, a comment put in."""
    source = source.replace("self", "this").replace("None", "missing", 3)
    lines = source.splitlines(keepends=True)
    lines[len(lines) // 2 : len(lines) // 2] = ["    # Checked once more, because callers forget.\n"]
    return "".join(lines)


def summary(prose: str) -> str:
    """Every third sentence, with a word before it."""
    sentences = re.split(r"(?<=[.:]) ", " ".join(prose.split()))
    return " ".join(f"{word}, {sentence}" for word, sentence in zip(itertools.cycle(["First", "Then"]), sentences[::3]))


def cases(tokenizer: Tokenizer, files: Sequence[Path]) -> Iterator[Case]:
    """Texts that repeat their prompt, and texts that do not."""
    encode = tokenizer.encode
    code = (ROOT / "src" / "glassformer" / "generation" / "stopping.py").read_text(encoding="utf8")
    prose = (ROOT / "docs" / "path-of-a-token.md").read_text(encoding="utf8").partition("## The loop")[2]
    start = encode(code)[: PROMPT + NEW]
    yield Case("code edit", [*start, *encode("\n# The same file after the edit:\n")], encode(edited(code))[:NEW])
    start = encode(prose)[: PROMPT + NEW]
    yield Case("summary", [*start, *encode("\n\nIn short: ")], encode(summary(tokenizer.decode(start)))[:NEW])
    for path in (ROOT / "docs" / "path-of-a-token.md", *files):
        text = encode(path.read_text(encoding="utf8", errors="replace")[2000:9000])
        yield Case(f"prose: {path.name}", text[:PROMPT], text[PROMPT : PROMPT + NEW])


def measure(model: Model, prompt: Any, new: int, rounds: int, name: str) -> dict[str, object]:
    """A row of the table: both ways in turns, after one turn that does not count."""
    ratios, plain, guessed = [], [], []
    for turn in range(rounds + 1):
        runs: dict[bool, Generation] = {}
        for way in (False, True) if turn % 2 else (True, False):
            runs[way] = model.generate(prompt, max_new_tokens=new, do_sample=False, ignore_eos=True, speculate=way)
        without, ahead = runs[False], runs[True]
        if without != ahead:
            raise SystemExit(f"{name}: guessing ahead changed the tokens")
        if turn:
            plain.append(without.timings.tokens_per_second)
            guessed.append(ahead.timings.tokens_per_second)
            ratios.append(guessed[-1] / plain[-1])
    return {"text": name, "tokens": len(ahead.ids), "drafted": ahead.drafted, "accepted": ahead.accepted,
            "plain tok/s": max(plain), "prompt lookup tok/s": max(guessed), "ratio": statistics.median(ratios),
            "lowest ratio": min(ratios)}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="q8", help="how the network holds its weights")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokenizer", type=Path, default=EMBEDDED, help="folder with a vocabulary, such as GPT-2's")
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="files of prose")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    tokenizer = Tokenizer.load(options.tokenizer)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder, GPT2Config())
        network = load_network(folder, dtype=options.dtype, threads=options.threads)
    rows = []
    for case in cases(tokenizer, options.text):
        model = Model(Dictated(network, [*case.prompt, *case.answer]), None, GenerationConfig())  # type: ignore[arg-type]
        rows.append(measure(model, case.prompt, len(case.answer), options.rounds, case.name))
    rows.append(measure(Model(network, None, GenerationConfig()), [1, 2, 3], NEW, options.rounds, "own greedy"))
    story = glassformer.load(dtype=options.dtype, threads=options.threads)
    prompts = ("Once upon a time", "Tom had a red ball. Tom had a red ball. Tom had a red ball.")
    rows += [measure(story, prompt, NEW, options.rounds, f"story model: {prompt[:19]}") for prompt in prompts]
    show(rows, surroundings(["llvmlite", "numpy"]), as_json=options.json)


if __name__ == "__main__":
    main()
