"""Surprise of tokens, against the score of the text and the distributions in float64."""

import json

import numpy as np
import pytest
from analysis_cases import TEXT

from glassformer.introspect.surprise import surprise, surprise_from_logits
from glassformer.model import Model


def test_log_probabilities_are_those_of_the_score(each_story: Model) -> None:
    found = surprise(each_story, TEXT)
    assert found.ids == each_story.ids(TEXT)
    assert "".join(found.tokens) == TEXT
    assert found.logprobs[1:].tolist() == each_story.score(TEXT).logprobs
    assert np.allclose(found.bits[1:], -found.logprobs[1:] / np.log(2), rtol=1e-6)


def test_ranks_entropy_and_alternatives_are_those_of_the_distribution(story: Model) -> None:
    found = surprise(story, TEXT, top=3)
    logits = story.logits(TEXT).astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for place in range(1, len(found.ids)):
        row = logprobs[place - 1]
        order = np.argsort(-row, kind="stable")
        assert found.ranks[place] == order.tolist().index(found.ids[place])
        assert found.entropy[place] == pytest.approx(-(np.exp(row) * row).sum() / np.log(2), rel=1e-4, abs=1e-6)
        assert found.top_ids[place].tolist() == order[:3].tolist()
        assert np.allclose(found.top_logprobs[place], row[order[:3]], atol=1e-4)
    assert found.top_tokens[1] == [" upon", *found.top_tokens[1][1:]]


def test_nothing_is_expected_of_the_first_token(story: Model) -> None:
    found = surprise(story, TEXT, top=2)
    assert np.isnan([found.logprobs[0], found.bits[0], found.entropy[0], *found.top_logprobs[0]]).all()
    assert (found.ranks[0], found.top_ids[0].tolist(), found.top_tokens[0]) == (-1, [-1, -1], [])
    alone = surprise(story, "Once")
    assert len(alone.bits) == 1


def test_logits_at_hand_give_the_same_without_a_run(story: Model) -> None:
    ids = story.ids(TEXT)
    found, again = surprise(story, ids), surprise_from_logits(story, ids, story.logits(ids))
    assert json.dumps(found.to_dict()) == json.dumps(again.to_dict())


def test_a_long_text_is_read_in_pieces_to_the_same_numbers(story: Model) -> None:
    ids = (story.ids(TEXT) * 20)[:200]
    found = surprise(story, ids)
    assert found.logprobs[1:].tolist() == story.score(ids).logprobs


def test_it_becomes_plain_values(story: Model) -> None:
    plain = json.loads(json.dumps(surprise(story, TEXT, top=1).to_dict(), allow_nan=False))
    assert plain["bits"][0] is None
    assert len(plain["top_ids"]) == len(plain["tokens"])
