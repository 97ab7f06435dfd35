"""What threads ask for while they wait: the weights of the next launch that has any, round the end of a plan."""

import numpy as np

from glassformer.kernels.matmul import LINE
from glassformer.runtime.plan import HEAVY, ahead
from glassformer.simd.kernel import address_of


def test_each_launch_names_the_weights_that_come_next() -> None:
    first, second = np.zeros(2 * HEAVY, np.uint8), np.zeros(HEAVY + 3 * LINE, np.uint8)
    small = np.zeros(HEAVY - 1, np.uint8)
    found = ahead([None, first, small, None, second, None], threads=2)
    to_first, to_second = [address_of(first), HEAVY], [address_of(second), (HEAVY + 2 * LINE) // 2]
    assert found.tolist() == [to_first, to_second, to_second, to_second, to_first, to_first]


def test_a_plan_without_weights_asks_for_nothing() -> None:
    assert ahead([None, np.zeros(8)], threads=3).tolist() == [[0, 0], [0, 0]]
    assert ahead([], threads=1).shape == (0, 2)
