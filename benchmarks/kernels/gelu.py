"""GELU by tanh and by the error function, at the width of GPT-2's feed-forward network.

    python benchmarks/kernels/gelu.py [--threads N] [--seconds 0.5] [--json]

Operations are counted as 20 for each element.
"""

import math

import numpy as np
from measure import Array, Case, main, normal

from glassformer.runtime.engine import Ops

erf = np.vectorize(math.erf, otypes=[np.float64])


def case(ops: Ops, rows: int, width: int, approximate: str) -> Case:
    x = normal(rows, width)

    def exact() -> Array:
        wide = x.astype(np.float64)
        if approximate == "none":
            return np.asarray(0.5 * wide * (1 + erf(wide / math.sqrt(2))))
        return np.asarray(0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))))

    return Case(f"({rows}, {width}) {approximate}", [lambda: ops.gelu(x, approximate)], exact, 8 * x.size, 20 * x.size)


if __name__ == "__main__":
    main("gelu", __doc__, lambda ops: [case(ops, r, 3072, form) for r in (1, 128, 1024) for form in ("tanh", "none")])
