"""Measuring speed: the arithmetic of rates and shares, the choice of tests, and one run on the story model."""

from typing import Any

import numpy as np
import pytest

import glassformer
from glassformer.generation import bench
from glassformer.generation.bench import BenchOptions, BenchTest, Speed, plan_tests
from glassformer.generation.errors import ContextError, OptionsError
from glassformer.generation.model import TextModel


def test_rates_count_all_sequences() -> None:
    speed = Speed(BenchTest("decode", 10, 4), (1.0, 2.0, 4.0))
    assert speed.rates == [40.0, 20.0, 10.0]
    assert speed.mean == pytest.approx(70 / 3)
    assert speed.deviation == pytest.approx(np.std([40, 20, 10], ddof=1))


def test_one_repetition_has_no_deviation() -> None:
    assert Speed(BenchTest("prompt", 8), (0.5,)).deviation == 0.0


def test_share_holds_each_repetition_against_its_own_moment() -> None:
    speed = Speed(BenchTest("decode", 10, 2), (1.0, 2.0, 1.0), bytes=10**9, gigabytes=(20.0, 10.0, 40.0))
    assert speed.share == pytest.approx(0.5)  # 10 steps of 1 GB in 1 s beside 20 GB/s; 0.5; 0.25
    assert speed.read_rate == pytest.approx((10 + 5 + 10) / 3)


def test_names_are_those_of_llama_bench() -> None:
    assert [BenchTest("prompt", 512).name, BenchTest("decode", 128).name, BenchTest("decode", 16, 4).name] == [
        "pp512", "tg128", "tg16 x 4"
    ]  # fmt: skip


def test_open_lengths_fit_the_window() -> None:
    assert plan_tests(300, BenchOptions()) == [BenchTest("prompt", 300), BenchTest("decode", 128)]
    assert plan_tests(2048, BenchOptions(sequences=(1, 4))) == [
        BenchTest("prompt", 512), BenchTest("decode", 128), BenchTest("decode", 128, 4)
    ]  # fmt: skip
    assert plan_tests(64, BenchOptions(prompt_tokens=(), new_tokens=(8, 16))) == [
        BenchTest("decode", 8),
        BenchTest("decode", 16),
    ]


def test_lengths_beyond_the_window_are_refused() -> None:
    with pytest.raises(ContextError, match="513 tokens exceeds the context window of 512"):
        plan_tests(512, BenchOptions(prompt_tokens=(513,)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BenchOptions(prompt_tokens=(0,)), "at least 1, found 0"),
        (BenchOptions(new_tokens=(4, -2)), "at least 1, found -2"),
        (BenchOptions((), ()), "nothing to measure"),
        (BenchOptions(sequences=()), "sequences go from 1 to 256"),
        (BenchOptions(sequences=(257,)), "sequences go from 1 to 256"),
        (BenchOptions(repetitions=0), "repetitions go from 1"),
        (BenchOptions(warmup=-1), "warmup goes from 0"),
    ],
)
def test_options_out_of_range_are_refused_before_loading(options: BenchOptions, message: str) -> None:
    def load() -> TextModel:
        raise AssertionError("loaded")

    with pytest.raises(OptionsError, match=message):
        bench.bench(load, options)


def test_story_model_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassformer.runtime.machine.READ_BYTES", 1 << 22)
    options = BenchOptions((32,), (8,), (1, 3), repetitions=2)
    report = bench.bench(lambda: glassformer.load(threads=2), options)
    assert [speed.test.name for speed in report.speeds] == ["pp32", "tg8", "tg8 x 3"]
    prompt, decode, batch = report.speeds
    assert (prompt.bytes, prompt.share, len(decode.gigabytes)) == (0, 0.0, 2)
    assert 4 * 10**6 < decode.bytes < batch.bytes < 10**7
    assert all(speed.mean > 0 for speed in report.speeds)
    assert report.facts["weights"] == "f16"
    assert report.facts["parameters"] == 3_161_088
    times: tuple[Any, ...] = (report.load, report.first_call, report.first_token, report.tokenize, report.sample)
    assert all(0 < seconds < 60 for seconds in times)


def test_bytes_of_a_step_leave_out_what_is_only_looked_up() -> None:
    model = glassformer.load(threads=1)
    network: Any = model.network
    weights = network.weights
    cache = network.new_cache(64).nbytes
    assert bench.step_bytes(network, BenchTest("decode", 64, 2)) == weights.nbytes - weights.wpe.nbytes + cache
