"""GPT-2 against logits and greedy text of Hugging Face transformers, which tools/make_golden.py wrote down."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gpt2_cases import CASES, checkpoint, save
from gpt2_twin import error, logits

import glassformer
from glassformer.models.locate import EMBEDDED

GOLDEN = Path(__file__).parents[1] / "golden"
PARITY = 1e-4  # of the logit range: the promise
ROUNDING = 5e-6  # of the logit range: what it is in practice


def described(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf8"))
    return found


def expected(name: str, case: str) -> npt.NDArray[np.float32]:
    """The reference's logits of the last tokens of a case's prompt."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        found: npt.NDArray[np.float32] = arrays[case]
    return found


RANDOM, STORY = described("gpt2"), described("story")


def test_every_case_has_golden_logits() -> None:
    assert {case["case"] for case in RANDOM["cases"]} == set(CASES), "cases changed: run tools/make_golden.py"


@pytest.mark.parametrize("case", RANDOM["cases"], ids=lambda case: str(case["case"]))
def test_random_checkpoints(case: dict[str, Any], tmp_path: Path) -> None:
    drawn = checkpoint(CASES[case["case"]], case["seed"])
    assert drawn.digest == case["weights"], "the generator of weights changed: run tools/make_golden.py"
    golden = expected("gpt2", case["case"])
    twin = logits(drawn.config, drawn.tensors, case["ids"])[-len(golden) :]
    assert error(twin, golden) < ROUNDING
    model = glassformer.load(save(tmp_path, drawn.values, drawn.tensors, prefix="transformer."))
    assert error(model.logits(case["ids"])[-len(golden) :], golden) < ROUNDING < PARITY
    new = model.generate(case["ids"], do_sample=False, max_new_tokens=len(case["greedy"]), ignore_eos=True)
    assert new.ids == case["greedy"]


def test_the_story_model_s_golden_file_belongs_to_its_weights() -> None:
    digest = hashlib.sha256((EMBEDDED / "model.safetensors").read_bytes()).hexdigest()
    assert digest == STORY["weights"], "the embedded weights changed: run `python tools/make_golden.py story`"


@pytest.mark.parametrize("case", STORY["cases"], ids=lambda case: str(case["prompt"]))
def test_the_story_model(case: dict[str, Any]) -> None:
    model = glassformer.load()
    assert model.ids(case["prompt"]) == case["ids"]
    golden = expected("story", case["case"])
    assert error(model.logits(case["ids"])[-len(golden) :], golden) < ROUNDING
    assert len(case["greedy"]) > 10
    new = model.generate(case["prompt"], do_sample=False, max_new_tokens=len(case["greedy"]), ignore_eos=True)
    assert new.ids == case["greedy"]
