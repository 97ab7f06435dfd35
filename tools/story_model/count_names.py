"""Count in how many sampled stories every character keeps its name.

`python -m tools.story_model.count_names FOLDER --count 200` samples stories with the settings of the folder's
`generation_config.json`, under fixed seeds, and judges each of them by the rules of `names`.  `--grammar` judges
stories of the grammar instead, as they are and with the hero renamed halfway: the check of the checker.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .grammar import story
from .names import GENDERS, complaints, mentions

PROMPTS = (
    "Once upon a time",
    "The little fox",
    "One night, a robot",
    "Tom was sad because",
    "Deep in the forest",
    "",
)


@dataclass(frozen=True)
class Sample:
    """A story that a model told."""

    text: str
    ended: bool


Sampler = Callable[[str, range], list[Sample]]


def sampler(folder: Path, engine: str) -> Sampler:
    """A function from a prompt and seeds to stories, with the engine that is asked for or the first that is there."""
    engines = {"glassformer": _glassformer, "transformers": _transformers}
    for name, make in engines.items():
        if engine in (name, "any"):
            try:
                return make(folder)
            except (ImportError, AttributeError):
                if engine == name:
                    raise
    raise SystemExit("neither glassformer nor transformers can be imported")


def _glassformer(folder: Path) -> Sampler:
    model: Any = importlib.import_module("glassformer").load(folder, threads=1)

    def tell(prompt: str, seed: int) -> Sample:
        made = model.generate(prompt, seed=seed)
        return Sample((prompt + made.text).strip(), made.finish_reason == "stop")

    return lambda prompt, seeds: [tell(prompt, seed) for seed in seeds]


def _transformers(folder: Path) -> Sampler:
    torch: Any = importlib.import_module("torch")
    reference: Any = importlib.import_module("transformers")
    tokenizers: Any = importlib.import_module("tokenizers")
    tokenizer = tokenizers.ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    model = reference.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    end = json.loads((folder / "config.json").read_text(encoding="utf8"))["eos_token_id"]

    def tell(tokens: list[int]) -> Sample:
        ended = end in tokens
        text = tokenizer.decode(tokens[: tokens.index(end)] if ended else tokens)
        return Sample(text.strip(), ended)

    def sample(prompt: str, seeds: range) -> list[Sample]:
        # One batch for all: the reference draws them from one generator, so the first seed alone counts.
        torch.manual_seed(seeds.start)
        tokens = torch.tensor([tokenizer.encode(prompt).ids or [end]] * len(seeds))
        made = model.generate(tokens, attention_mask=torch.ones_like(tokens), pad_token_id=end)
        return [tell(row if prompt else row[1:]) for row in made.tolist()]

    return sample


def rename_halfway(text: str, rng: random.Random) -> str:
    """The story with another name for its hero in the second half; the text itself where it has no hero there."""
    found = mentions(text)
    late = [m for m in found if m.name == found[0].name and m.start > len(text) // 2]
    other = rng.choice(sorted(GENDERS.keys() - {m.name for m in found}))
    for mention in reversed(late):
        text = text[: mention.start] + other + text[mention.stop :]
    return text


def judge(title: str, samples: list[Sample], show: int) -> float:
    """Print and return the share of stories that keep their names."""
    wrong = [(sample.text, found) for sample in samples if (found := complaints(sample.text))]
    kept = 1 - len(wrong) / len(samples)
    ended = sum(sample.ended for sample in samples) / len(samples)
    distinct = len({sample.text for sample in samples})
    length = sum(len(sample.text) for sample in samples) / len(samples)
    print(f"{title}: {len(samples)} stories, names kept {kept:.1%}, ended {ended:.1%}, {distinct} distinct, ", end="")
    print(f"{length:.0f} characters on average", flush=True)
    for text, found in wrong[:show]:
        print(f"  {'; '.join(found)}\n    " + text.replace("\n", "\n    "))
    return kept


def count_model(arguments: argparse.Namespace) -> None:
    """Sample stories for each prompt and judge them."""
    sample = sampler(arguments.folder, arguments.engine)
    everything: list[Sample] = []
    for prompt in arguments.prompt or PROMPTS:
        samples = sample(prompt, range(arguments.seed, arguments.seed + arguments.count))
        judge(repr(prompt), samples, arguments.show)
        everything += samples
    judge("all prompts", everything, 0)
    if arguments.training:
        rng = random.Random(arguments.training_seed)
        told = {story(rng) for _ in range(arguments.training)}
        copies = sum(sample.text in told for sample in everything)
        print(f"{copies} of them are among the {arguments.training} stories of the training run")


def count_grammar(arguments: argparse.Namespace) -> None:
    """Judge stories that are right by construction, and the same ones with a name that slips."""
    rng = random.Random(arguments.seed)
    texts = [story(rng) for _ in range(arguments.count)]
    judge("grammar", [Sample(text, True) for text in texts], arguments.show)
    judge("renamed halfway", [Sample(rename_halfway(text, rng), True) for text in texts], 0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Count stories that keep the names of their characters.")
    parser.add_argument("folder", type=Path, nargs="?", help="model folder")
    parser.add_argument("--grammar", action="store_true", help="judge stories of the grammar instead of a model's")
    parser.add_argument("--count", type=int, default=50, help="stories per prompt")
    parser.add_argument("--prompt", action="append", help="a prompt in place of the usual ones; may be repeated")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first story")
    parser.add_argument("--engine", choices=("any", "glassformer", "transformers"), default="any")
    parser.add_argument("--show", type=int, default=0, help="failed stories to print per prompt")
    parser.add_argument("--training", type=int, default=0, help="stories of the training run to look for copies of")
    parser.add_argument("--training-seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.grammar:
        count_grammar(arguments)
    elif arguments.folder:
        count_model(arguments)
    else:
        parser.error("give a model folder or --grammar")


if __name__ == "__main__":
    main()
