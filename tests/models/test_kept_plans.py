"""How many plans wait to be used again: as many as their bytes allow, and more where somebody serves many texts."""

import numpy as np
import pytest

import glassformer
from glassformer.models import steps as steps_module
from glassformer.models.gpt2 import GPT2


def forms(network: GPT2, lengths: list[int]) -> list[int]:
    """Rows of the plans that are kept after prompts of these lengths, one after the other."""
    for length in lengths:
        network.forward(np.ones(length, np.int32), network.new_cache(length))
    assert network.steps is not None
    return [step.batch.form.rows for step in network.steps.steps.values()]


def test_plans_used_last_are_kept_as_far_as_their_bytes_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "KEPT_BYTES", 1)
    network = glassformer.load().network
    assert isinstance(network, GPT2)
    assert forms(network, [9, 11, 13]) == [13], "the newest stays, whatever it takes"
    assert network.steps is not None
    sizes = [step.plan.nbytes + step.logits.nbytes for step in network.steps.steps.values()]
    network.keep_plans(3 * max(sizes))
    assert forms(network, [9, 11]) == [13, 9, 11]
    assert forms(network, [9, 12]) == [11, 9, 12], "the one used longest ago goes first"


def test_nobody_lowers_what_another_asked_for() -> None:
    network = glassformer.load().network
    assert isinstance(network, GPT2)
    assert network.steps is not None
    network.keep_plans(1 << 30)
    network.keep_plans(1)
    assert network.steps.kept == 1 << 30
