"""Softmax and its logarithm over rows of scores and of logits.

    python benchmarks/kernels/softmax.py [--threads N] [--seconds 0.5] [--json]

Operations are counted as 20 for each element, most of them exp's.
"""

import numpy as np
from measure import Array, Case, main, normal

from glassformer.runtime.engine import Ops


def case(ops: Ops, rows: int, width: int, *, logarithm: bool) -> Case:
    x = normal(rows, width) * np.float32(5)
    function = ops.log_softmax if logarithm else ops.softmax

    def exact() -> Array:
        moved = x.astype(np.float64) - x.max(axis=-1, keepdims=True)
        total = np.exp(moved).sum(axis=-1, keepdims=True)
        return np.asarray(moved - np.log(total) if logarithm else np.exp(moved) / total)

    name = f"({rows}, {width}){' log' if logarithm else ''}"
    return Case(name, [lambda: function(x)], exact, 8 * x.size, 20 * x.size)


if __name__ == "__main__":
    shapes = ((1, 50257), (64, 50257), (1536, 128), (4096, 1024))
    main(
        "softmax", __doc__, lambda ops: [case(ops, *shape, logarithm=log) for shape in shapes for log in (False, True)]
    )
