"""What holding a text to a constraint costs over GPT-2's vocabulary, beside decoding with 124M weights.

    python benchmarks/constraints.py [--vocab FOLDER] [--dtype q8] [--threads N] [--tokens 100] [--rounds 5] [--json]

Texts are drawn at random by a network of random weights; `first` is a text whose masks are made on the way. Then every
text is written again, alternating with a free one of as many tokens: `free` and `later` are the medians for a token,
`+ %` is the median of the pairs' ratios, with its quartiles. `mask` is what the constraint itself takes in a step of a
later text: looking up the mask, applying it, and following the token.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glassformer.generation.constraints.constraint import Choice, Constraint, JsonObject, JsonSchema, Regex
from glassformer.generation.constraints.guide import Guide
from glassformer.generation.constraints.masks import Masks
from glassformer.generation.constraints.trie import trie_of
from glassformer.generation.model import TextModel
from glassformer.generation.options import SamplingOptions
from glassformer.generation.sampling import choose
from glassformer.models.config import GenerationConfig, GPT2Config
from glassformer.models.load import load_network
from glassformer.runtime.sampling import Sampler
from glassformer.tokenizer.tokenizer import Tokenizer
from peer_models import write_model
from report import show, surroundings

SHARED = Path(__file__).parent.parent / ".." / "shared" / "data"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}},
        "born": {"type": "string", "format": "date"},
        "known": {"type": "boolean"},
    },
    "required": ["name", "age", "tags", "born", "known"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"value": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["value", "children"],
}
CASES: dict[str, Callable[[], Constraint]] = {
    "words": lambda: Regex(r"[A-Z][a-z]*([ ,][A-Za-z]+)*\."),
    "1000 choices": lambda: Choice([f"choice number {place}" for place in range(1000)]),
    "schema of a record": lambda: JsonSchema(PERSON),
    "schema of a tree": lambda: JsonSchema(TREE),
    "JSON object": JsonObject,
}
DRAWN = SamplingOptions(do_sample=True, temperature=1.0, seed=1)


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def per_token(model: TextModel, tokens: int, seed: int, constraint: Constraint | None) -> tuple[float, int]:
    """Seconds for each token after the first, and how many tokens there are."""
    asked: dict[str, Any] = {"temperature": 1.0, "seed": seed, "max_new_tokens": tokens, "speculate": False}
    written = model.generate([464], constraint=constraint, ignore_eos=constraint is None, **asked)
    return written.timings.decode / max(1, len(written.ids) - 1), len(written.ids)


def pair(model: TextModel, tokens: int, seed: int, constraint: Constraint) -> tuple[float, float]:
    """Seconds for a token of a free text and of one held to a constraint, which are of one length."""
    _, count = per_token(model, tokens, seed, constraint)
    if seed % 2:
        return per_token(model, count, seed, None)[0], per_token(model, tokens, seed, constraint)[0]
    held = per_token(model, tokens, seed, constraint)[0]
    return per_token(model, count, seed, None)[0], held


def mask_seconds(constraint: Constraint, tokenizer: Tokenizer, vocab_size: int, tokens: int) -> float:
    """What a step takes more than a free choice: the median of the second of two equal texts."""
    known, ends = tokenizer.vocabulary.tokens, set(tokenizer.special_tokens.values())
    masks = Masks(constraint.grammar, trie_of(known, ends, vocab_size), ends)
    names = [known.get(token, b"") for token in range(vocab_size)]
    sampler, rng, spent = Sampler(vocab_size), np.random.default_rng(0), list[float]()
    rows = [(rng.standard_normal(vocab_size) * 4).astype(np.float32) for _ in range(8)]
    for _ in range(2):
        guide, spent = Guide(masks, names, ends), []
        for place in range(tokens):
            row, chosen = rows[place % 8], [1] * place
            start = time.perf_counter()
            token, _ = choose(row, [1], chosen, DRAWN, sampler, guide.mask(tokens - place))
            guide.push(token, tokens - place - 1)
            held = time.perf_counter() - start
            spent.append(held - seconds(lambda: choose(row, [1], chosen, DRAWN, sampler)))  # noqa: B023
            if guide.finished or token in ends:
                break
    return statistics.median(spent)


def measured(model: TextModel, name: str, tokens: int, rounds: int) -> dict[str, object]:
    """One row of the table."""
    tokenizer = model.known_tokenizer
    start = time.perf_counter()
    constraint = CASES[name]()
    made = time.perf_counter() - start
    first, _ = per_token(model, tokens, 1, constraint)
    pairs = [pair(model, tokens, seed, constraint) for seed in range(1, rounds + 1)]
    free, held = (statistics.median(each[place] for each in pairs) for place in (0, 1))
    low, more, high = statistics.quantiles([100 * (later / before - 1) for before, later in pairs])
    mask = mask_seconds(constraint, tokenizer, model.config.vocab_size, tokens)
    return {
        "constraint": name, "compile ms": made * 1e3, "free ms": free * 1e3, "first ms": first * 1e3,
        "later ms": held * 1e3, "+ %": more, "from %": low, "to %": high, "mask us": mask * 1e6,
        "mask % of a step": 100 * mask / free,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab", type=Path, default=SHARED / "gpt2", help="folder with vocab.json and merges.txt")
    parser.add_argument("--dtype", default="q8", help="how the network holds its weights")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--tokens", type=int, default=100, help="longest text")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    options = parser.parse_args()
    tokenizer = Tokenizer.load(options.vocab)
    trie = seconds(lambda: trie_of(tokenizer.vocabulary.tokens, (), tokenizer.vocab_size))
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name), GPT2Config())
        network = load_network(Path(name), dtype=options.dtype, threads=options.threads)
        model = TextModel(network, tokenizer, GenerationConfig.from_dict({}))
        model.generate([464], max_new_tokens=8, constraint=JsonObject())
        rows = [{**measured(model, each, options.tokens, options.rounds), "tree ms": trie * 1e3} for each in CASES]
    show(rows, surroundings(["llvmlite", "numpy"]), as_json=options.json)


if __name__ == "__main__":
    main()
