"""Train the induction model: `python -m tools.induction_model.train --out FOLDER`.

Two layers of GPT-2's architecture learn to continue repeated random tokens. What makes them learn it the way of
Olsson et al. (2022), with a head that looks one token back below heads that look for what it found, in minutes:

* positions begin as sinusoids (Vaswani et al., 2017), in which "one back" is the same turn everywhere,
* rows are short at first, and
* the feed-forward layers are too narrow to matter.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from .task import BEGIN, SYMBOLS, batch

POSITIONS = 128
TOKENS_PER_STEP = 2048
SHORT_SHARE = 0.2  # of the steps whose rows are half as long


def new_model() -> GPT2LMHeadModel:
    """The untrained model."""
    config = GPT2Config(
        vocab_size=len(SYMBOLS) + 1, n_positions=POSITIONS, n_embd=128, n_layer=2, n_head=4, n_inner=4,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=BEGIN, eos_token_id=BEGIN,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        model.transformer.wpe.weight.copy_(0.1 * sinusoids(POSITIONS, config.n_embd))
    return model


def sinusoids(positions: int, width: int) -> torch.Tensor:
    """[positions, width], waves from one radian per token to one radian per context."""
    rates = torch.exp(-math.log(positions) * torch.linspace(0, 1, width // 2))  # [width / 2]
    angles = torch.arange(positions)[:, None] * rates  # [positions, width / 2]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def known_loss(model: GPT2LMHeadModel, ids: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """The mean loss of the tokens that can be known."""
    logits = model(ids).logits[:, :-1]  # [rows, length - 1, vocab_size]
    return torch.nn.functional.cross_entropy(logits[known[:, 1:]], ids[:, 1:][known[:, 1:]])


def learning_rate(step: int, total: int, peak: float) -> float:
    """A short warm-up and half a cosine."""
    return peak * min(1.0, (step + 1) / 100) * (0.05 + 0.475 * (1 + math.cos(math.pi * step / total)))


def train(model: GPT2LMHeadModel, steps: int, rate: float, generator: torch.Generator) -> None:
    """The loop."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.05, fused=True)
    start = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, rate)
        length = POSITIONS // 2 if step < SHORT_SHARE * steps else POSITIONS
        loss = known_loss(model, *batch(generator, TOKENS_PER_STEP // length, length))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 200 == 199:
            print(f"{step + 1}/{steps}  {time.monotonic() - start:.0f} s  loss {loss.item():.3f}", flush=True)


def save(model: GPT2LMHeadModel, folder: Path) -> None:
    """In half precision, with a vocabulary of one character per token, so that the model can be given text."""
    model.half().save_pretrained(folder)
    spelled = {symbol.replace(" ", "Ġ"): place for place, symbol in enumerate(SYMBOLS)}
    vocabulary = {**spelled, "<|endoftext|>": BEGIN}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf8")


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description="Train the induction model.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate after the warm-up")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    model = new_model()
    train(model, arguments.steps, arguments.rate, torch.Generator().manual_seed(arguments.seed))
    save(model, arguments.out)


if __name__ == "__main__":
    main()
