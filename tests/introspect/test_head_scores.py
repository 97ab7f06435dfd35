"""Scores of heads, by their definitions in loops, and on the random tokens that they are made for."""

import numpy as np
import pytest
from analysis_cases import TEXT

from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.head_scores import KINDS, PATTERNS, head_scores, repeated_tokens, text_head_scores
from glassformer.model import Model

IDS = [4, 9, 4, 4, 7, 9, 4, 1, 7, 7]


def keys_of(kind: str, query: int) -> list[int]:
    """The keys that a kind means at a query of IDS."""
    earlier = [key for key in range(query) if IDS[key] == IDS[query]]
    found = {
        "previous_token": [query - 1], "first_token": [0], "duplicate_token": earlier,
        "induction": [key + 1 for key in earlier if key + 1 < query],
    }[kind]  # fmt: skip
    return found if query else []


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_the_mean_attention_to_its_keys(kind: str, story: Model) -> None:
    _, cache = story.run_with_cache(IDS, PATTERNS)
    queries = [query for query in range(len(IDS)) if keys_of(kind, query)]
    found = head_scores(story, kind, IDS)
    assert found.queries == len(queries)
    assert found.scores.shape == (6, 6)
    for layer in range(6):
        shares = [cache["pattern", layer][:, query, keys_of(kind, query)].sum(-1) for query in queries]
        assert np.allclose(found.scores[layer], np.mean(shares, axis=0), atol=1e-6)
    assert np.array_equal(found.scores, text_head_scores(cache)[kind].scores)


def test_best_heads_come_first(story: Model) -> None:
    found = head_scores(story, "previous_token", TEXT)
    best = found.best(3)
    assert [score for *_, score in best] == sorted(found.scores.ravel().tolist(), reverse=True)[:3]
    assert all(found.scores[layer, head] == np.float32(score) for layer, head, score in best)


def test_queries_that_were_captured_are_scored(story: Model) -> None:
    _, cache = story.run_with_cache(IDS, PATTERNS, positions=[2, 3])
    shares = [cache["pattern", 0][:, row, keys_of("induction", query)].sum(-1) for row, query in enumerate([2, 3])]
    assert np.allclose(text_head_scores(cache)["induction"].scores[0], np.mean(shares, axis=0), atol=1e-6)


def test_kinds_that_a_text_has_no_keys_of_are_left_out(story: Model) -> None:
    _, cache = story.run_with_cache([1, 2, 3], PATTERNS)
    assert set(text_head_scores(cache)) == {"previous_token", "first_token"}
    with pytest.raises(IntrospectionError, match="no token comes again"):
        head_scores(story, "induction", [1, 2, 3])


def test_random_tokens_are_repeated_behind_the_first_one(story: Model, lively: Model) -> None:
    for model, tokens in ((story, 50), (lively, 31)):  # the second has room for 31 twice
        for ids in repeated_tokens(model, 50, sequences=2, seed=1):
            start, first, again = ids[0], ids[1 : 1 + tokens], ids[1 + tokens :]
            assert start == model.config.bos_token_id
            assert first == again
            assert len(set(ids)) == 1 + tokens
    assert repeated_tokens(story, seed=1) == repeated_tokens(story, seed=1) != repeated_tokens(story, seed=2)


def test_scores_are_those_of_all_sequences(story: Model) -> None:
    several = head_scores(story, "first_token", tokens=10, sequences=3, seed=5)
    each = [head_scores(story, "first_token", ids) for ids in repeated_tokens(story, 10, 3, 5)]
    assert np.allclose(several.scores, np.mean([one.scores for one in each], axis=0), atol=1e-6)
    assert several.queries == sum(one.queries for one in each)
