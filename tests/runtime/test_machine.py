"""The limits of the machine, measured: the probes compute what they say, and their rates are of this world."""

import numpy as np
import pytest

from glassformer.kernels.probe import PART, dot_products, multiply_add, read_memory
from glassformer.runtime.executor import Eager
from glassformer.runtime.machine import (
    Machine,
    ProbeError,
    ReadProbe,
    dot_rate,
    multiply_add_rate,
    processor,
    resident_bytes,
)


def test_reading_sums_every_part() -> None:
    x = np.random.default_rng(1).integers(-8, 9, 3 * PART).astype(np.float32)
    sums = np.zeros(3, np.float32)
    read_memory.specialise()(x, sums, begin=0, end=3)
    np.testing.assert_array_equal(sums, x.reshape(3, PART).sum(axis=1))


def test_every_chain_multiplies_and_adds() -> None:
    out = np.zeros(2, np.float32)
    multiply_add.specialise(CHAINS=4)(out, 2.0, 3, begin=0, end=2)  # 1 -> 4 -> 10 -> 22
    assert out.tolist() == [22 * 16 * 4] * 2


def test_every_chain_takes_its_own_row_and_all_quarters() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 256, (3, 64), np.uint8), rng.integers(-128, 128, (16, 4), np.int8)
    out = np.zeros(1, np.int32)
    dot_products.specialise(CHAINS=3)(x, y, out, 19, begin=0, end=1)
    turns = np.array([turn % 16 for turn in range(19)])
    assert out[0] == np.einsum("clk,tk->", x.reshape(3, 16, 4).astype(np.int64), y[turns].astype(np.int64))


def test_rates_are_positive_and_finite() -> None:
    executor = Eager(2)
    for rate in (ReadProbe(executor, 1 << 22).gigabytes(), multiply_add_rate(executor, 1), dot_rate(executor, 1)):
        assert 0.01 < rate < 1e6


def test_wrong_sum_is_an_error() -> None:
    probe = ReadProbe(Eager(1), 1 << 20)
    probe.x[5] = 2.0
    with pytest.raises(ProbeError, match="summed wrongly"):
        probe.gigabytes()


def test_machine_needs_no_dot_products() -> None:
    assert Machine(30.0, 200.0).gigaops == 0.0


def test_processor_has_a_name_and_the_process_has_memory() -> None:
    assert processor()
    before = resident_bytes()
    held = np.ones(64 << 20, np.uint8)
    grown = resident_bytes() - before
    assert before == 0 or grown > 32 << 20
    assert held[0] == 1
