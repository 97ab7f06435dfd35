"""Perplexity over windows and divergence from another model, against their definitions in float64."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import glassformer
from glassformer.generation import evaluate as module
from glassformer.generation.errors import LogitsError, NoTokenizerError, PromptError
from glassformer.generation.evaluate import EvaluationError, estimate, windows
from glassformer.generation.model import TextModel
from glassformer.models.config import GenerationConfig

STORIES = (
    "Once upon a time, in a small village, there lived a girl named Clara. She had a red kite.",
    "One day a little dog found a bone. The dog was very happy and ran home to show it.",
)


@pytest.fixture(scope="module")
def exact() -> glassformer.Model:
    return glassformer.load(dtype="f32")


@pytest.fixture(scope="module")
def rounded() -> glassformer.Model:
    return glassformer.load(dtype="q4")


def log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    x = logits.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))


def test_a_text_of_one_window_has_the_perplexity_of_its_score(exact: glassformer.Model) -> None:
    found, score = exact.evaluate(STORIES[0]), exact.score(STORIES[0])
    assert found.documents == [score.ids]
    assert found.tokens == len(score.logprobs)
    assert found.perplexity.value == pytest.approx(score.perplexity, rel=1e-6)
    assert found.log_likelihood.value == pytest.approx(score.total / len(score.logprobs), rel=1e-6)
    assert found.log_likelihood.error == pytest.approx(
        np.std(score.logprobs, ddof=1) / math.sqrt(found.tokens), rel=1e-5
    )
    assert found.perplexity.error == pytest.approx(found.perplexity.value * found.log_likelihood.error)
    assert (found.context, found.stride, found.comparison) == (512, 256, None)


@pytest.mark.parametrize("tokens", [0, 1, 2, 3, 7, 8, 9, 30])
@pytest.mark.parametrize(("context", "stride"), [(8, 4), (8, 7), (8, 1), (2, 1), (3, 2)])
def test_windows_score_every_token_but_the_first_once_and_late_in_its_window(
    tokens: int, context: int, stride: int
) -> None:
    scored: list[int] = []
    for window in windows(tokens, context, stride):
        assert window.end - window.begin <= context
        assert window.begin < window.first < window.end
        assert window.begin == 0 or window.first - window.begin >= context - stride
        scored += range(window.first, window.end)
    assert scored == list(range(1, tokens))


def test_windows_read_what_they_say(exact: glassformer.Model) -> None:
    ids = exact.ids(STORIES[0] + STORIES[1])
    expected = []
    for window in windows(len(ids), 20, 6):
        logs = log_softmax(exact.logits(ids[window.begin : window.end]))
        expected += [logs[place - window.begin - 1, ids[place]] for place in range(window.first, window.end)]
    found = exact.evaluate(ids, context=20, stride=6)
    assert found.tokens == len(expected) == len(ids) - 1
    assert found.log_likelihood.value == pytest.approx(np.mean(expected), rel=1e-9)


def test_divergence_is_that_of_the_definition(exact: glassformer.Model, rounded: glassformer.Model) -> None:
    ids = exact.ids(STORIES[0])
    p, q = (log_softmax(model.logits(ids)[:-1]) for model in (exact, rounded))
    kls = (np.exp(p) * (p - q)).sum(-1)
    found = rounded.evaluate(STORIES[0], against=exact, worst=3).comparison
    assert found is not None
    assert found.kl.value == pytest.approx(kls.mean(), rel=1e-9)
    assert found.kl.error == pytest.approx(kls.std(ddof=1) / math.sqrt(len(kls)), rel=1e-9)
    assert found.same_top.value == (p.argmax(-1) == q.argmax(-1)).mean()
    assert found.perplexity.value == pytest.approx(exact.evaluate(ids).perplexity.value, rel=1e-12)
    assert [each.place - 1 for each in found.worst] == np.argsort(-kls)[:3].tolist()
    for each in found.worst:
        assert (each.id, each.top) == (ids[each.place], q[each.place - 1].argmax())
        assert (each.kl, each.against_top) == (pytest.approx(kls[each.place - 1]), p[each.place - 1].argmax())


def test_a_model_does_not_differ_from_itself(exact: glassformer.Model) -> None:
    found = exact.evaluate(STORIES[1], against=exact).comparison
    assert found is not None
    assert (found.kl.value, found.kl.error, found.same_top.value, found.same_top.error) == (0, 0, 1, 0)
    assert len(found.worst) == 10


def test_documents_are_read_each_on_its_own(exact: glassformer.Model, rounded: glassformer.Model) -> None:
    both = rounded.evaluate(STORIES, against=exact, worst=1000)
    apart = [rounded.evaluate(story, against=exact, worst=1000) for story in STORIES]
    assert both.tokens == sum(each.tokens for each in apart)
    weighted = sum(each.tokens * each.log_likelihood.value for each in apart) / both.tokens
    assert both.log_likelihood.value == pytest.approx(weighted)
    assert both.comparison is not None
    assert {each.document for each in both.comparison.worst} == {0, 1}
    assert len(both.comparison.worst) == both.tokens
    assert exact.evaluate(["", *STORIES]).tokens == both.tokens


@pytest.mark.parametrize(("chunk", "block"), [(1, 1), (5, 3), (1000, 1000)])
def test_how_many_rows_are_held_at_once_does_not_show(
    chunk: int,
    block: int,
    exact: glassformer.Model,
    rounded: glassformer.Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: dict[str, Any] = {"against": exact, "context": 16, "stride": 9}
    expected = rounded.evaluate(STORIES[0], **options)
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module, "BLOCK", block)
    assert rounded.evaluate(STORIES[0], **options) == expected


def test_progress_counts_the_tokens(exact: glassformer.Model) -> None:
    told: list[tuple[int, int]] = []
    found = exact.evaluate(STORIES[0], context=8, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (found.tokens, found.tokens)
    assert told == sorted(told)


def test_one_token_has_no_standard_error() -> None:
    assert math.isnan(estimate([1.0]).error)
    assert estimate([1.0, 3.0]).value == 2.0
    assert estimate([1.0, 3.0]).error == 1.0


# ------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"context": 1}, "context is 1, expected 2 to 512"),
        ({"context": 513}, "context is 513, expected 2 to 512"),
        ({"stride": 0}, "stride is 0, expected 1 to 511"),
        ({"stride": 512}, "stride is 512, expected 1 to 511"),
        ({"context": 8, "stride": 8}, "stride is 8, expected 1 to 7"),
    ],
)
def test_windows_out_of_range(options: dict[str, int], named: str, exact: glassformer.Model) -> None:
    with pytest.raises(EvaluationError, match=named):
        exact.evaluate(STORIES[0], **options)


@pytest.mark.parametrize("text", ["", "a", [5], [], ["", "a"]])
def test_too_short_a_text(text: Any, exact: glassformer.Model) -> None:
    with pytest.raises(EvaluationError, match="at least 2 tokens"):
        exact.evaluate(text)


def test_ids_of_another_model(exact: glassformer.Model) -> None:
    with pytest.raises(PromptError):
        exact.evaluate([1, 2048])


class Uniform:
    """A network that expects nothing, over another number of words; or worse, computes NaN."""

    def __init__(self, model: glassformer.Model, vocab_size: int, value: float = 0.0) -> None:
        self.config = type(model.config)(vocab_size=vocab_size, n_positions=64, n_embd=16, n_head=1)
        self.value = value

    def new_cache(self, capacity: int) -> SimpleNamespace:
        return SimpleNamespace()

    def forward(self, ids: npt.NDArray[np.int32], cache: Any, *, last_only: bool = True) -> npt.NDArray[np.float32]:
        return np.full((1 if last_only else len(ids), self.config.vocab_size), self.value, np.float32)


def test_models_of_other_vocabularies_are_not_compared(exact: glassformer.Model) -> None:
    other = TextModel(Uniform(exact, 50), exact.tokenizer, GenerationConfig())  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="vocabularies of 2048 and 50"):
        exact.evaluate([1, 2, 3], against=other)
    nameless = TextModel(Uniform(exact, 2048), None, GenerationConfig())  # type: ignore[arg-type]
    with pytest.raises(NoTokenizerError):
        exact.evaluate("Once upon a time", against=nameless)
    assert exact.evaluate([1, 2, 3], against=nameless).context == 64


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary(exact: glassformer.Model) -> None:
    model = TextModel(Uniform(exact, 2048), exact.tokenizer, GenerationConfig())  # type: ignore[arg-type]
    found = model.evaluate(STORIES[0])
    assert found.perplexity.value == pytest.approx(2048)
    assert found.perplexity.error == pytest.approx(0, abs=1e-9)


def test_logits_that_are_no_numbers_are_an_error(exact: glassformer.Model) -> None:
    model = TextModel(Uniform(exact, 2048, math.nan), exact.tokenizer, GenerationConfig())  # type: ignore[arg-type]
    with pytest.raises(LogitsError):
        model.evaluate(STORIES[0])
