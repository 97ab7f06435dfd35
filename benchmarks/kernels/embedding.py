"""Rows of GPT-2's embedding, from tables of every kind.

    python benchmarks/kernels/embedding.py [--threads N] [--seconds 0.5] [--json]

A table is held as the head's matrix, whose outputs are its rows. Operations are counted as 1 for each element.
"""

from __future__ import annotations

import numpy as np
from linear import dequantized, held, rounded
from measure import Array, Case, main, normal

from glassformer.runtime.engine import Ops
from glassformer.runtime.packed import KINDS
from glassformer.runtime.quantized import QuantizedMatrix

VOCABULARY, WIDTH = 50257, 768


def case(ops: Ops, count: int, kind: str) -> Case:
    plain = normal(WIDTH, VOCABULARY)
    table = held(ops, plain, kind)
    ids = np.random.default_rng(1).integers(0, VOCABULARY, count).astype(np.int32)

    def exact() -> Array:
        whole = dequantized(table) if isinstance(table, QuantizedMatrix) else rounded(ops, plain, kind)
        return np.asarray(whole[:, ids].T)

    size = count * WIDTH
    moved = size * 4 + size * table.nbytes // (WIDTH * VOCABULARY)
    return Case(f"{count} of ({VOCABULARY}, {WIDTH}) {kind}", [lambda: ops.embedding(table, ids)], exact, moved, size)


if __name__ == "__main__":
    main("embedding", __doc__, lambda ops: (case(ops, n, kind) for kind in (*KINDS, "q8") for n in (1, 16, 512)))
