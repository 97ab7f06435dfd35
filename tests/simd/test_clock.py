"""The counter that kernels can read: it goes forward, at one rate, and costs little; WebAssembly has none."""

import time

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.simd import Pointer, clock, i64, kernel, reference
from glassformer.simd.target import find_target, runnable_targets


@kernel
def stamps(out: Pointer[i64], count: i64) -> i64:
    """out[i] = the counter, one after the other."""
    for i in range(count):
        out[i] = clock()
    return clock()


@pytest.mark.parametrize("target", runnable_targets())
def test_it_goes_forward(target: str) -> None:
    out = np.zeros(1000, np.int64)
    last = run(target, out)
    assert (np.diff(out) >= 0).all()
    assert out[0] < out[-1] <= last
    assert len(np.unique(out)) > 10  # read anew each time, not once for the loop


def run(target: str, out: npt.NDArray[np.int64]) -> int:
    """Stamps on one of the targets that this machine can run."""
    loaded = stamps.specialise().load(find_target(target))
    return int(loaded.entry(loaded.pack([out, len(out)]), 0, 0))


def moment(out: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The time in ns, and the counter: of several readings the tightest, since other programs come between."""
    readings = []
    for _ in range(20):
        before = time.perf_counter_ns()
        ticks = stamps(out, 1)
        after = time.perf_counter_ns()
        readings.append((after - before, (before + after) // 2, ticks))
    return min(readings)[1:]


def test_its_rate_is_even() -> None:
    """Twice as long is twice as many ticks."""
    out = np.zeros(1, np.int64)
    stamps(out, 1)  # compiled before it is timed
    ticks = []
    for _ in range(5):
        began = moment(out)
        time.sleep(0.01)
        ended = moment(out)
        ticks.append((ended[1] - began[1]) / (ended[0] - began[0]))
    assert max(ticks) < 1.02 * min(ticks)


def test_reference_mode_counts_nanoseconds() -> None:
    out = np.zeros(2, np.int64)
    before = time.perf_counter_ns()
    reference.run(stamps.function, stamps.annotations[0], [out, 2], {})
    assert before <= out[0] <= out[1] <= time.perf_counter_ns()


def test_webassembly_has_none() -> None:
    text = stamps.ir("wasm32")
    assert "counter" not in text
    assert "llvm.readcyclecounter" in stamps.ir("baseline")
    assert "llvm.readcyclecounter" in stamps.ir("arm64")


def test_arm_reads_the_timer_that_user_code_may_read() -> None:
    assert "cntvct_el0" in stamps.assembly("arm64").lower()
