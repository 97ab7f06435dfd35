"""`trace`: the tokens of `generate`, and at each step the values that one pass over the whole text has."""

import gc

import numpy as np
import pytest

from glassformer.introspect.errors import IntrospectionError
from glassformer.model import Model
from glassformer.runtime.frames import LEASE

PROMPT = "Once upon a time"


@pytest.mark.parametrize(
    "sampling", [{"do_sample": False}, {"top_p": 0.9, "seed": 5}, {"repetition_penalty": 1.3, "seed": 9}]
)
def test_the_tokens_are_those_of_generate(each_story: Model, sampling: dict[str, float]) -> None:
    plain = each_story.generate(PROMPT, max_new_tokens=24, **sampling)  # type: ignore[call-overload]
    steps = list(each_story.trace(PROMPT, max_new_tokens=24, names=["*.hook_resid_post"], **sampling))  # type: ignore[arg-type]
    assert [step.token for step in steps] == plain.ids
    assert [step.logprob for step in steps] == [each.logprob for each in plain.logprobs]
    assert "".join(step.text for step in steps) == plain.text
    assert [step.finish_reason for step in steps] == [None] * 23 + [plain.finish_reason]
    assert [step.position for step in steps] == list(range(len(plain.prompt_ids), len(plain.prompt_ids) + 24))
    for step in steps:
        assert step.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert np.log(step.probabilities[step.token]) == pytest.approx(step.logprob, abs=1e-4)


@pytest.mark.parametrize("cache_dtype", ["f32", "q8"])
def test_the_values_are_those_of_one_pass(cache_dtype: str) -> None:
    from glassformer.model import load

    model = load(cache_dtype=cache_dtype)
    steps = list(model.trace(PROMPT, max_new_tokens=70, ignore_eos=True, seed=2, temperature=1.0))
    ids = [*model.ids(PROMPT), *(step.token for step in steps[:-1])]
    logits, whole = model.run_with_cache(ids)
    first = len(model.ids(PROMPT))
    for number, step in enumerate(steps):
        rows = step.cache.positions
        assert rows.tolist() == (list(range(first)) if number == 0 else [first + number - 1])
        assert np.array_equal(step.logits, logits[rows[-1]])
        assert step.cache.ids == ids[: rows[-1] + 1]
        for name, array in step.cache.items():
            expected = whole[name]
            if name.endswith(("hook_attn_scores", "hook_pattern")):
                assert np.array_equal(array, expected[:, rows, : rows[-1] + 1]), name
            else:
                assert np.array_equal(array, expected[rows]), name


def test_memory_that_nobody_holds_is_used_again(story: Model) -> None:
    held = []
    addresses = set()
    for number, step in enumerate(story.trace(PROMPT, max_new_tokens=160, names="*.hook_mlp_out", ignore_eos=True)):
        array = step.cache["mlp_out", 0]
        addresses.add(array.ctypes.data)
        if number in (3, 9):
            held.append((array, array.copy()))
        del array
    gc.collect()
    assert all(np.array_equal(array, copy) for array, copy in held)
    # The prompt's; and frames are leased together, of which some are read, some are written, and two have a frame held.
    assert len(addresses) <= 1 + LEASE * (2 + len(held))


def test_bytes_of_all_steps_are_known_first(story: Model) -> None:
    with pytest.raises(IntrospectionError, match="over the limit of 100,000"):
        story.trace(PROMPT, max_new_tokens=200, names="hook_logits", limit=100_000)
    with pytest.raises(IntrospectionError, match="names no site"):
        story.trace(PROMPT, names="hook_logit")


def test_functions_are_called_at_each_step(story: Model) -> None:
    seen = []

    def silence(x: np.ndarray, hook: object) -> np.ndarray:
        seen.append(x.shape)
        return np.zeros_like(x)

    hooks = [("blocks.0.attn.hook_z", silence)]
    steps = list(story.trace(PROMPT, max_new_tokens=5, names="blocks.0.attn.hook_z", hooks=hooks))
    prompt = len(story.ids(PROMPT))
    assert seen == [(prompt, 6, 32)] + [(1, 6, 32)] * 4
    assert all(not step.cache["z", 0].any() for step in steps)
    ids = [*story.ids(PROMPT), *(step.token for step in steps[:-1])]
    assert np.array_equal(story.run_with_hooks(ids, hooks)[-1], steps[-1].logits)


def test_nothing_captured(story: Model) -> None:
    (step,) = story.trace(PROMPT, max_new_tokens=1, names=[])
    assert len(step.cache) == 0
    assert step.finish_reason == "length"
