"""Layer normalisation at GPT-2's widths.

python benchmarks/kernels/layer_norm.py [--threads N] [--seconds 0.5] [--json]
"""

import numpy as np
from measure import Array, Case, main, normal

from glassformer.runtime.engine import Ops


def case(ops: Ops, rows: int, width: int) -> Case:
    x, weight, bias = normal(rows, width), normal(width), normal(width)

    def exact() -> Array:
        wide = x.astype(np.float64)
        centred = wide - wide.mean(axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * weight + bias)

    return Case(
        f"({rows}, {width})", [lambda: ops.layer_norm(x, weight, bias)], exact, 8 * x.size + 8 * width, 9 * x.size
    )


if __name__ == "__main__":
    main(
        "layer_norm",
        __doc__,
        lambda ops: [case(ops, r, w) for r, w in ((1, 768), (128, 768), (1024, 768), (1, 1600), (1024, 1600))],
    )
