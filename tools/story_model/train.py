"""Train the story model further: `python -m tools.story_model.train --init FOLDER --out FOLDER --steps N`.

This is the only place of the project that needs torch.  What makes a small model keep a name to the end is
* one story per sequence, so that names of the story before never lie in view,
* stories that the grammar writes on the fly and that never come twice, and
* a higher weight on names after their first mention, where the right one can be copied from the text above, and a
  slightly higher one on pronouns, and in the beginning on long words that come again.

The schedule counts steps.  While it runs, a new total may be written into `total` in the output folder, which
stretches or shortens what is left of it.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2LMHeadModel

from .grammar import story
from .names import ALL_NAMES
from .tiny import tiny_stories
from .visitors import with_visitors

Item = tuple[list[int], npt.NDArray[np.float32]]
Batch = tuple[torch.Tensor, torch.Tensor]

_NAME = re.compile(r"\b(?:" + "|".join(sorted(ALL_NAMES)) + r")\b")
_PRONOUN = re.compile(r"\b(?:[Ss]?[Hh]e|[Hh]is|[Hh]er|[Hh]im)\b")
_LONG_WORD = re.compile(r"\b[a-z]{5,}\b")
_POOL = 64  # batches that are sorted by length together


class Encoder:
    """Turns stories into tokens and weights."""

    def __init__(self, folder: Path, name_weight: float, word_weight: float) -> None:
        self._tokenizer = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
        end = self._tokenizer.token_to_id("<|endoftext|>")
        self.end: int = self._tokenizer.get_vocab_size() - 1 if end is None else end
        self.name_weight = name_weight
        self._word_weight = word_weight

    def save(self, folder: Path) -> None:
        """Write the tokenizer beside the weights."""
        self._tokenizer.save_model(str(folder))

    def __call__(self, text: str, begin: bool, visitors: Iterable[str] = ()) -> Item:
        """One training sequence.  Without its beginning mark, a model learns to tell from a bare prompt too.

        Names of visitors shall be kept, but the model shall not bring them in by itself: the first mention is free.
        """
        encoding = self._tokenizer.encode(text)
        weights = self._weights(text)
        for visitor in visitors:
            first, *later = re.finditer(rf"\b{visitor}\b", text)
            weights[first.start() - 1 if first.start() else 0 : first.end()] = 0.0
            for match in later:
                weights[match.start() - 1 : match.end()] = self.name_weight
        tokens = [*([self.end] if begin else []), *encoding.ids, self.end]
        inner = [weights[stop - 1] for _, stop in encoding.offsets]
        return tokens, np.array([*([1.0] if begin else []), *inner, 1.0], np.float32)

    def _weights(self, text: str) -> npt.NDArray[np.float32]:
        """A weight per character; the space before a word belongs to its first token."""
        weights = np.ones(len(text), np.float32)
        half = (1 + self.name_weight) / 2
        for pattern, weight in ((_LONG_WORD, self._word_weight), (_NAME, self.name_weight)):
            seen: set[str] = set()
            for match in pattern.finditer(text):
                if match[0] in seen:
                    weights[max(0, match.start() - 1) : match.end()] = weight
                seen.add(match[0])
        for match in _PRONOUN.finditer(text):
            weights[max(0, match.start() - 1) : match.end()] = half
        return weights


def to_batch(items: list[Item], end: int, longest: int = 512) -> Batch:
    """Pad sequences to one length; padding has no weight, and causal attention never sees it."""
    width = min(longest, max(len(tokens) for tokens, _ in items))
    tokens = np.full((len(items), width), end)
    weights = np.zeros((len(items), width), np.float32)
    for row, (ids, values) in enumerate(items):
        n = min(width, len(ids))
        tokens[row, :n] = ids[:n]
        weights[row, :n] = values[:n]
    return torch.from_numpy(tokens), torch.from_numpy(weights)


def sequences(
    stories: random.Random, mix: random.Random, encode: Encoder, tiny: list[str], shares: tuple[float, float]
) -> Iterator[Item]:
    """Training sequences without end; the shares are those of TinyStories and of stories with visitors."""
    while True:
        begin = mix.random() < 0.5
        if mix.random() < shares[0]:
            yield encode(mix.choice(tiny), begin)
        elif mix.random() < shares[1]:
            text, visitors = with_visitors(story(stories), mix)
            yield encode(text, begin, visitors)
        else:
            yield encode(story(stories), begin)


def batches(seed: int, encode: Encoder, tiny: list[str], shares: tuple[float, float], size: int) -> Iterator[Batch]:
    """Batches without end.  Stories of like length share a batch, so that little of it is padding.

    Stories have a generator of their own: those of a run are the first ones that the grammar tells for its seed.
    """
    mix = random.Random(seed + 1)
    items_without_end = sequences(random.Random(seed), mix, encode, tiny, shares)
    while True:
        items = sorted(islice(items_without_end, size * _POOL), key=lambda item: len(item[0]))
        groups = [items[i : i + size] for i in range(0, len(items), size)]
        mix.shuffle(groups)
        for group in groups:
            yield to_batch(group, encode.end)


def token_losses(model: GPT2LMHeadModel, tokens: torch.Tensor) -> torch.Tensor:
    """The loss of every token but the first."""
    logits = model(tokens).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none")


@torch.no_grad()
def evaluate(model: GPT2LMHeadModel, held: list[Item], encode: Encoder) -> tuple[float, float]:
    """Mean loss per token, and over the tokens of names that have been mentioned before."""
    model.train(False)
    found = []
    for i in range(0, len(held), 16):
        tokens, weights = to_batch(held[i : i + 16], encode.end)
        found.append((token_losses(model, tokens), weights[:, 1:].flatten()))
    model.train()
    losses, weights = (torch.cat(parts) for parts in zip(*found, strict=True))
    return losses[weights > 0].mean().item(), losses[weights == encode.name_weight].mean().item()


def make_optimizer(model: GPT2LMHeadModel) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices alone."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.97), fused=True)


def learning_rate(step: int, total: int, peak: float, floor: float) -> float:
    """A short warm-up and half a cosine."""
    return peak * min(1.0, (step + 1) / 100) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * step / total)))


def load(folder: Path) -> GPT2LMHeadModel:
    """The model in single precision, set up for short sequences on a CPU.

    There plain attention is faster than the fused one, and a fused GELU faster than the reference's seven operations.
    """
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    for name in [name for name, _ in model.named_modules() if name.endswith(".mlp.act")]:
        model.set_submodule(name, torch.nn.GELU(approximate="tanh"))
    return model


def save(model: GPT2LMHeadModel, folder: Path) -> None:
    """Save in half precision; the tied head is the embedding and is not stored twice."""
    state = {name: value.detach().half() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    model.save_pretrained(folder, state_dict=state)


def new_total(folder: Path, total: int) -> int:
    """The total number of steps, or what somebody has written into the folder since."""
    try:
        return int((folder / "total").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return total


def train(
    model: GPT2LMHeadModel, stream: Iterator[Batch], arguments: argparse.Namespace, report: Callable[[str], None]
) -> None:
    """The loop; `report` is called now and then and may evaluate and save."""
    optimizer = make_optimizer(model)
    start, seen, mean, total = time.monotonic(), 0, 0.0, arguments.steps
    model.train()
    for step, (tokens, weights) in enumerate(stream):
        if step % 20 == 0:
            total = new_total(arguments.out, total)
        if step >= total:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, total, arguments.rate, arguments.floor)
        weights = weights[:, 1:].flatten()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = token_losses(model, tokens)
        loss = (losses * weights).sum() / weights.sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += int((weights > 0).sum())
        mean = loss.item() if step == 0 else 0.95 * mean + 0.05 * loss.item()
        if step % 50 == 0 or step == total - 1:
            report(f"{step + 1}/{total}  {time.monotonic() - start:.0f} s  {seen} tokens  loss {mean:.3f}")


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the story model further.")
    parser.add_argument("--init", type=Path, required=True, help="folder of the model to start from")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate after the warm-up")
    parser.add_argument("--floor", type=float, default=0.02, help="share of it that is left at the end")
    parser.add_argument("--batch", type=int, default=16, help="stories per step")
    parser.add_argument("--name-weight", type=float, default=3.0, help="weight of a name after its first mention")
    parser.add_argument("--word-weight", type=float, default=1.0, help="weight of a long word that comes again")
    parser.add_argument("--tiny-stories", type=Path, help="text of TinyStories to mix in")
    parser.add_argument("--tiny-share", type=float, default=0.02, help="share of stories taken from it")
    parser.add_argument("--visitors", type=float, default=0.0, help="share of stories with names from elsewhere")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Train, evaluate on held-out stories and save every few minutes."""
    arguments = read_arguments()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    encode = Encoder(arguments.init, arguments.name_weight, arguments.word_weight)
    encode.save(arguments.out)
    model = load(arguments.init)
    tiny = tiny_stories(arguments.tiny_stories)[60:] if arguments.tiny_stories else []
    # The seed of the held-out stories is one that no training run uses.
    held_rng = random.Random(2**40)
    held = [encode(story(held_rng), begin=True) for _ in range(64)]
    calls = 0

    def report(line: str) -> None:
        nonlocal calls
        if calls % 4 == 0 or line.startswith(f"{arguments.steps}/"):
            loss, names = evaluate(model, held, encode)
            line += f"  held out {loss:.4f}, names {names:.4f}"
            save(model, arguments.out)
        calls += 1
        print(line, flush=True)

    shares = (arguments.tiny_share if tiny else 0.0, arguments.visitors)
    stream = batches(arguments.seed, encode, tiny, shares, arguments.batch)
    train(model, stream, arguments, report)
    save(model, arguments.out)


if __name__ == "__main__":
    main()
