"""The decode loop on a model of integer arithmetic: what it reads, what it chooses, why it ends."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from glassformer.generation.continuation import Continuation
from glassformer.generation.decode import steps
from glassformer.generation.errors import ContextError, GenerationError, LogitsError
from glassformer.generation.model import TextModel
from glassformer.generation.options import GenerationOptions
from glassformer.generation.text import SilentDetokenizer
from glassformer.models.config import GPT2Config

Scripted = Callable[..., TextModel]


def test_greedy_equals_recomputing_the_whole_prefix(model: TextModel) -> None:
    prompt = [1, 2, 3]
    found = model.generate(prompt, max_new_tokens=20, ignore_eos=True)
    ids = list(prompt)
    for _ in range(20):
        ids.append(int(np.argmax(model.logits(ids)[-1])))
    assert found.ids == ids[3:]
    assert found.prompt_ids == prompt
    assert found.seed is None
    assert found.finish_reason == "length"


def test_the_prompt_is_read_once_and_then_a_token_per_step(
    table_network: type, model_of: Callable[..., TextModel]
) -> None:
    network = table_network()
    model_of(network).generate([1, 2, 3, 4], max_new_tokens=5, ignore_eos=True)
    assert network.calls == [4, 1, 1, 1, 1]
    assert [cache.capacity for cache in network.caches] == [8]


def test_end_of_text_ends_it(scripted: Scripted) -> None:
    found = scripted("hello.").generate("a")
    assert found.text == "hello."
    assert found.finish_reason == "stop"
    assert found.ids == [*scripted("").ids("hello."), found.ids[-1]]
    assert found.ids[-1] in (scripted("").config.eos_token_id,)
    assert len(found.logprobs) == len(found.ids)


def test_end_of_text_can_be_ignored(scripted: Scripted) -> None:
    found = scripted("hello.").generate("a", ignore_eos=True, max_new_tokens=9)
    assert found.finish_reason == "length"
    assert len(found.ids) == 9
    assert found.text == "hello."


def test_several_end_of_text_ids(table_network: type, model_of: Callable[..., TextModel]) -> None:
    plain = model_of(table_network(eos=None)).generate("a", max_new_tokens=12)
    stopping = model_of(table_network(eos=None), eos_token_id=[plain.ids[7], plain.ids[4], 99999])
    found = stopping.generate("a", max_new_tokens=12)
    assert found.ids == plain.ids[: found.ids.index(found.ids[-1]) + 1]
    assert found.ids[-1] in (plain.ids[4], plain.ids[7])
    assert found.finish_reason == "stop"


def test_stop_ids_end_it_and_have_no_text(scripted: Scripted) -> None:
    model = scripted("one two three")
    found = model.generate("a", stop_ids=model.ids("w"))
    assert found.text == "one t"
    assert found.ids == model.ids("one tw")
    assert found.finish_reason == "stop"


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (" two", "one"),
        (["three", "two"], "one "),
        ("e", "on"),
        ("one", ""),
        ("three.", "one two three"),
        ("o thr", "one tw"),
    ],
)
def test_stop_strings_span_tokens_and_do_not_appear(scripted: Scripted, stop: str | list[str], text: str) -> None:
    model = scripted("one two three")
    found = model.generate("a", stop=stop)
    assert found.text == text
    assert found.finish_reason == "stop"
    assert "".join(model.stream("a", stop=stop)) == text


def test_the_asked_length_ends_it(scripted: Scripted) -> None:
    model = scripted("one two three")
    assert model.generate("a", max_new_tokens=5).text == "one t"
    assert model.generate("a", max_length=5).text == "one "
    assert model.generate("a", max_length=5).finish_reason == "length"


def test_text_held_back_is_given_at_the_end(scripted: Scripted) -> None:
    found = scripted("one two three").generate("a", max_new_tokens=6, stop="twenty")
    assert found.text == "one tw"
    assert found.finish_reason == "length"
    assert scripted("one tw").generate("a", stop="twenty").text == "one tw"


def test_a_stop_on_the_last_token_is_a_stop(scripted: Scripted) -> None:
    assert scripted("one").generate("a", max_new_tokens=3, stop="e").finish_reason == "stop"
    assert scripted("one").generate("a", max_new_tokens=4).finish_reason == "stop"
    assert scripted("one").generate("a", max_new_tokens=3).finish_reason == "length"


def test_the_context_window_ends_it(table_network: type, model_of: Callable[..., TextModel]) -> None:
    network = table_network(n_positions=10)
    found = model_of(network).generate([1, 2, 3], max_new_tokens=500, ignore_eos=True)
    assert found.finish_reason == "length"
    assert len(found.ids) == 8
    assert sum(network.calls) == 10, "every position is used"
    assert len(model_of(network).generate([5] * 10, ignore_eos=True).ids) == 1


def test_a_prompt_that_does_not_fit_is_refused_before_anything_runs(
    table_network: type, model_of: Callable[..., TextModel]
) -> None:
    network = table_network(n_positions=10)
    for run in (model_of(network).generate, model_of(network).stream):
        with pytest.raises(ContextError, match=r"11 tokens .* holds 10"):
            run([1] * 11)
    assert network.calls == []


def test_sampling_repeats_with_its_seed(model: TextModel) -> None:
    first = model.generate("a", temperature=1.3, seed=11, max_new_tokens=30, ignore_eos=True)
    again = model.generate("a", temperature=1.3, seed=11, max_new_tokens=30, ignore_eos=True)
    other = model.generate("a", temperature=1.3, seed=12, max_new_tokens=30, ignore_eos=True)
    assert first == again
    assert first.ids != other.ids
    assert first.seed == 11


def test_the_seed_is_reported_when_none_was_given(model: TextModel) -> None:
    found = model.generate("a", temperature=1.3, max_new_tokens=30)
    assert found.seed is not None
    assert model.generate("a", temperature=1.3, max_new_tokens=30, seed=found.seed) == found


def test_logprobs_are_those_of_the_untouched_model(model: TextModel) -> None:
    found = model.generate("ab", max_new_tokens=6, ignore_eos=True, temperature=3.0, top_k=3, seed=4, logprobs=5)
    scored = model.score(found.prompt_ids + found.ids)
    assert [token.logprob for token in found.logprobs] == scored.logprobs[1:]
    assert [token.id for token in found.logprobs] == found.ids
    for token in found.logprobs:
        assert len(token.top) == 5
        values = [value for _, value in token.top]
        assert values == sorted(values, reverse=True)
        assert token.logprob in values[:3], "drawn from the three best"


def test_timings_are_seconds(model: TextModel) -> None:
    timings = model.generate("a", max_new_tokens=10, ignore_eos=True).timings
    assert timings.prefill > 0
    assert timings.decode > 0
    assert timings.tokens_per_second == pytest.approx(9 / timings.decode)
    assert model.generate("a", max_new_tokens=1).timings.tokens_per_second == 0.0


class Read(list[int]):
    """A cache that holds the ids themselves."""

    prompt_length: int | None = None


class BrokenNetwork:
    """Computes NaN once it has read three tokens."""

    config = GPT2Config(vocab_size=8, n_positions=16, n_embd=4, n_head=1, n_layer=1)

    def new_cache(self, capacity: int) -> Read:
        return Read()

    def new_caches(self, capacities: Sequence[int]) -> list[Read]:
        return [Read() for _ in capacities]

    def forward_batch(self, parts: Sequence[Any], *, last_only: bool = True) -> np.ndarray:
        return np.concatenate([self.forward(*part) for part in parts])

    def forward(self, ids: np.ndarray, cache: Read, *, last_only: bool = True) -> np.ndarray:
        cache.extend(ids.tolist())
        return np.full((1, 8), np.nan if len(cache) >= 3 else 1.0, dtype=np.float32)


def test_nan_ends_the_loop_with_an_error() -> None:
    network = BrokenNetwork()
    run = steps(network, Continuation(network, [1], GenerationOptions(), SilentDetokenizer()))
    assert [next(run).token.id for _ in range(2)] == [0, 0]
    with pytest.raises(LogitsError, match="position 3 hold 8 NaN"):
        next(run)


def test_a_result_before_the_end_is_refused(scripted: Scripted) -> None:
    stream = scripted("one two").stream("a")
    with pytest.raises(GenerationError, match="has not ended"):
        _ = stream.result
    next(stream)
    with pytest.raises(GenerationError, match="has not ended"):
        _ = stream.result
    assert stream.finish().text == "one two"
    assert stream.result.text == "one two"
