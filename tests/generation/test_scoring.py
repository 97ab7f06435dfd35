"""Scores against the logits they come from."""

import math

import numpy as np
import pytest

from glassformer.generation.errors import ContextError, PromptError
from glassformer.generation.model import TextModel
from glassformer.generation.score import CHUNK, perplexity
from glassformer.models.config import GenerationConfig


def by_definition(model: TextModel, ids: list[int]) -> list[float]:
    found = []
    for row, token in zip(model.logits(ids[:-1]).astype(np.float64), ids[1:], strict=True):
        total = math.fsum(math.exp(x) for x in row)
        found.append(float(row[token]) - math.log(total))
    return found


def test_each_token_is_scored_by_those_before_it(model: TextModel) -> None:
    found = model.score("hello there.")
    wanted = by_definition(model, model.ids("hello there."))
    assert found.ids == model.ids("hello there.")
    assert found.logprobs == pytest.approx(wanted, abs=1e-5)
    assert found.total == pytest.approx(math.fsum(wanted), abs=1e-4)
    assert found.perplexity == pytest.approx(math.exp(-math.fsum(wanted) / 11), rel=1e-5)


def test_long_texts_are_read_in_chunks(table_network: type) -> None:
    network = table_network(n_positions=4 * CHUNK)
    long = TextModel(network, None, GenerationConfig())
    ids = [i * 7 % 31 for i in range(2 * CHUNK + 9)]
    found = long.score(ids)
    assert network.calls == [CHUNK, CHUNK, 8]
    assert found.logprobs == pytest.approx(by_definition(long, ids), abs=1e-5)


@pytest.mark.parametrize("ids", [[], [3]])
def test_fewer_than_two_tokens_are_refused(model: TextModel, ids: list[int]) -> None:
    with pytest.raises(PromptError, match=f"at least 2 tokens and got {len(ids)}"):
        model.score(ids)


def test_a_text_that_does_not_fit_is_refused(model: TextModel) -> None:
    with pytest.raises(ContextError, match=r"the text has 65 tokens .* holds 64"):
        model.score([1] * 65)
    assert len(model.score([1] * 64).logprobs) == 63


def test_perplexity_overflows_to_infinity() -> None:
    assert perplexity(-1e6, 2) == math.inf
    assert perplexity(0.0, 2) == 1.0
