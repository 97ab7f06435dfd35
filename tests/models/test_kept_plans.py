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
    sizes = [step.nbytes for step in network.steps.steps.values()]
    network.keep_plans(3 * max(sizes))
    assert forms(network, [9, 11]) == [13, 9, 11]
    assert forms(network, [9, 12]) == [11, 9, 12], "the one used longest ago goes first"


def test_plans_share_their_buffers_and_the_logits_of_several_texts() -> None:
    model = glassformer.load(dtype="q8")
    network = model.network
    assert isinstance(network, GPT2)
    assert network.steps is not None
    prompts = [np.arange(1, 4 + count, dtype=np.int32) for count in range(9)]
    alone = [network.forward(ids, network.new_cache(len(ids)))[0] for ids in prompts]
    for count in (9, 5, 9, 7, 5):
        caches = network.new_caches([len(ids) for ids in prompts[:count]])
        logits = network.forward_batch(list(zip(prompts[:count], caches, strict=True)))
        assert np.array_equal(logits, alone[:count])
    steps = list(network.steps.steps.values())
    memories = {step.plan.memory.ctypes.data for step in steps}
    assert len(memories) < len(steps)
    several = [step for step in steps if step.batch.form.parts > 1]
    assert len(several) > 1
    assert np.shares_memory(several[0].logits, several[-1].logits)
    assert all(step.nbytes < step.logits.nbytes + step.plan.nbytes for step in several)


def test_nobody_lowers_what_another_asked_for() -> None:
    network = glassformer.load().network
    assert isinstance(network, GPT2)
    assert network.steps is not None
    network.keep_plans(1 << 30)
    network.keep_plans(1)
    assert network.steps.kept == 1 << 30
