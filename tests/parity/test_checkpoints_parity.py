"""Trained checkpoints against transformers: the embedded one, and those in a folder `shared` beside the checkout."""

import os
from pathlib import Path

import pytest
from gpt2_cases import random_ids
from gpt2_twin import error

import glassformer
from glassformer.models.locate import EMBEDDED

os.environ.setdefault("HF_HUB_OFFLINE", "1")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from reference_gpt2 import closest, greedy, logits, read_model

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

MODELS = Path(__file__).parents[3] / "shared" / "data" / "models"
ROUNDING = 1e-5  # of the logit range
PROMPTS = [
    "Once upon a time", "The dog", '"Help!" cried', "A", "In the morning the old fox went to the river to",
]  # fmt: skip


def folder_of(name: str) -> Path:
    if not (MODELS / name).is_dir():
        pytest.skip(f"no {MODELS / name}")
    return MODELS / name


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_story_model(prompt: str) -> None:
    model, reference = glassformer.load(), read_model(EMBEDDED)
    ids = model.ids(prompt)
    new = model.generate(prompt, do_sample=False, max_new_tokens=60)
    expected = greedy(reference, ids, 60, model.config.eos_token_ids[0])
    assert new.ids == expected
    assert error(model.logits(ids + new.ids), logits(reference, ids + new.ids)) < ROUNDING


def test_the_adder() -> None:
    folder = folder_of("gpt2-adder")
    model, reference = glassformer.load(folder), read_model(folder)
    for number in range(0, 10_000, 397):
        ids = [int(digit) for digit in f"{number:04}"]
        assert error(model.logits(ids), logits(reference, ids)) < ROUNDING
        new = model.generate(ids, do_sample=False, max_new_tokens=3)
        assert new.ids == greedy(reference, ids, 2) + new.ids[2:]  # the third lies beyond what the reference may read


def test_descriptions_of_parts() -> None:
    folder = folder_of("gpt2-capp")
    model, reference = glassformer.load(folder), read_model(folder)
    for seed in range(12):
        ids = [1, *random_ids(seed, 2, 50)]
        assert error(model.logits(ids), logits(reference, ids)) < ROUNDING
        new = model.generate(ids, do_sample=False, max_new_tokens=60)
        expected = greedy(reference, ids, 60, model.config.eos_token_ids[0])
        assert new.ids == expected or closest(reference, ids + expected) < ROUNDING
