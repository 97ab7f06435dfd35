"""The linear layers of GPT-2 124M on packed weights: one token (decode) and 128 tokens (prefill).

    python benchmarks/kernels/linear.py [--threads N] [--seconds 0.5] [--json]

In decode each call takes another copy of the weights, 256 MB in all, because a model's weights come from memory for
each token and not from the cache.
"""

import numpy as np
from measure import COLD_BYTES, Case, main, normal

from glassformer.runtime.engine import Ops
from glassformer.runtime.packed import KINDS, PackedMatrix, convert_array, pack_matrix
from glassformer.simd.types import f32

LAYERS = {
    "c_attn": (768, 2304),
    "attn.c_proj": (768, 768),
    "c_fc": (768, 3072),
    "mlp.c_proj": (3072, 768),
    "head": (768, 50257),
}


def case(ops: Ops, name: str, rows: int, kind: str) -> Case:
    shape = LAYERS[name]
    plain, bias, x = normal(*shape), normal(shape[1]), normal(rows, shape[0])
    weight = pack_matrix(ops.executor, plain, f32, KINDS[kind])
    number = max(1, COLD_BYTES // weight.nbytes) if rows == 1 else 1
    copies = [PackedMatrix(weight.data.copy(), weight.kind, *shape) for _ in range(number)]
    runs = [lambda w=w: ops.linear(x, w, bias) for w in copies]

    def exact() -> np.ndarray:
        narrow = convert_array(ops.executor, plain, f32, KINDS[kind])
        held = convert_array(ops.executor, narrow, KINDS[kind], f32)
        return np.asarray(x.astype(np.float64) @ held + bias)

    return Case(
        f"{name} {rows} x {shape} {kind}",
        runs,
        exact,
        weight.nbytes + 4 * (x.size + rows * shape[1]),
        2 * rows * plain.size,
    )


if __name__ == "__main__":
    main(
        "linear", __doc__, lambda ops: [case(ops, n, rows, kind) for rows in (1, 128) for kind in KINDS for n in LAYERS]
    )
