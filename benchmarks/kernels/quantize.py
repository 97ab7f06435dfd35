"""Activations to eight bits, at GPT-2's widths.

    python benchmarks/kernels/quantize.py [--threads N] [--seconds 0.5] [--json]

Operations are counted as 3 for each element: its size, the product with the scale, the rounding.
"""

from __future__ import annotations

import numpy as np
from measure import Array, Case, main, normal

from glassformer.runtime.engine import Ops
from glassformer.runtime.quantized import QuantizedRows, quantize


def read(rows: QuantizedRows) -> Array:
    """What the codes stand for."""
    return np.asarray((rows.codes.reshape(rows.rows, -1, 32) * rows.scales[..., None]).reshape(rows.shape))


def case(ops: Ops, rows: int, width: int) -> Case:
    x = normal(rows, width)

    def exact() -> Array:
        groups = x.reshape(rows, -1, 32)
        largest = np.abs(groups).max(-1, keepdims=True)
        codes = np.rint(groups * (np.float32(127) / largest))
        return np.asarray((codes * (largest.astype(np.float64) / 127)).reshape(x.shape))

    moved = 4 * x.size + x.size + 8 * x.size // 32
    return Case(f"({rows}, {width})", [lambda: quantize(ops.executor, x)], exact, moved, 3 * x.size, read=read)


if __name__ == "__main__":
    shapes = ((1, 768), (128, 768), (512, 768), (1, 3072), (512, 3072))
    main("quantize", __doc__, lambda ops: [case(ops, *shape) for shape in shapes])
