"""Penalties, bias and bad words against their definitions, token by token."""

import numpy as np
import pytest

from glassformer.generation import penalties

LOGITS = np.array([2.0, -1.0, 0.0, 3.0, -4.0, 0.5], dtype=np.float32)


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3, 5.0])
def test_repetition_penalty(penalty: float) -> None:
    seen = [0, 1, 1, 4, 2]
    found = penalties.repetition_penalty(LOGITS, seen, penalty)
    for token, logit in enumerate(LOGITS.tolist()):
        wanted = logit if token not in seen else logit * penalty if logit < 0 else logit / penalty
        assert found[token] == pytest.approx(wanted), token


def test_presence_and_frequency_penalty_count_the_continuation() -> None:
    found = penalties.presence_and_frequency_penalty(LOGITS, [3, 3, 5, 3], presence=0.25, frequency=0.5)
    assert found.tolist() == [2.0, -1.0, 0.0, 3.0 - 0.25 - 1.5, -4.0, 0.5 - 0.25 - 0.5]
    untouched = penalties.presence_and_frequency_penalty(LOGITS, [], presence=2.0, frequency=2.0)
    assert np.array_equal(untouched, LOGITS)


def test_logit_bias_adds() -> None:
    found = penalties.logit_bias(LOGITS, {1: 100, 3: -0.5})
    assert found.tolist() == [2.0, 99.0, 0.0, 2.5, -4.0, 0.5]


@pytest.mark.parametrize(
    ("ids", "forbidden"),
    [([], {5}), ([0], {5, 1}), ([3, 0], {5, 1}), ([2, 3], {5, 4}), ([3, 2], {5}), ([0, 2, 3, 0], {5, 1})],
)
def test_bad_words_forbid_the_token_that_would_complete_them(ids: list[int], forbidden: set[int]) -> None:
    found = penalties.bad_words(LOGITS, ids, [[5], [0, 1], [2, 3, 4]])
    assert set(np.flatnonzero(np.isneginf(found)).tolist()) == forbidden
    allowed = sorted(set(range(6)) - forbidden)
    assert np.array_equal(found[allowed], LOGITS[allowed])


def test_arguments_are_left_alone() -> None:
    before = LOGITS.copy()
    penalties.repetition_penalty(LOGITS, [0, 1], 2.0)
    penalties.presence_and_frequency_penalty(LOGITS, [0, 1], 1.0, 1.0)
    penalties.logit_bias(LOGITS, {0: 1.0})
    penalties.bad_words(LOGITS, [], [[0]])
    assert np.array_equal(LOGITS, before)
