"""A digest of each operation's result on tiny shapes; test_same_bits.py runs it compiled and as Python."""

import hashlib
import sys

import numpy as np

from glassformer.runtime.batch import Batch, form_of
from glassformer.runtime.capture import Change, Target
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.frames import FrameLayout, Place
from glassformer.runtime.kv_cache import KVCache, Layout
from glassformer.runtime.memory import aligned
from glassformer.runtime.packed import KINDS, pack_matrix
from glassformer.simd import reference
from glassformer.simd.types import bf16, f16, f32, f64

SPECIAL = np.float32([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-40, 88.7, -103.9, 3e38, 0.6, -0.7, 5, -9, 2, 0.99])


def numbers(*shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(shape).standard_normal(shape), np.float32)


def show(name: str, *results: np.ndarray) -> None:
    # The sign and payload of NaN differ between processors and mean nothing.
    data = b"".join(
        np.where(np.isnan(r), np.float32(np.nan), r).tobytes() if r.dtype.kind == "f" else r.tobytes() for r in results
    )
    print(name, hashlib.sha256(data).hexdigest())


def elementwise(ops: Ops) -> None:
    for name in ("add", "subtract", "multiply", "divide", "minimum", "maximum"):
        function = getattr(ops, name)
        show(
            name,
            function(SPECIAL, SPECIAL[::-1]),
            function(SPECIAL, 2),
            function(3, SPECIAL),
            function(numbers(2, 1), numbers(3)),
        )
    for name in ("exp", "log", "sqrt", "negative", "absolute", "sigmoid", "tanh", "relu", "silu", "gelu"):
        show(name, getattr(ops, name)(SPECIAL), getattr(ops, name)(numbers(17)))
    show("gelu exact", ops.gelu(SPECIAL, approximate="none"))


def rows(ops: Ops) -> None:
    for width in (1, 16, 17):
        x, weight, bias = numbers(2, width), numbers(width), numbers(width)
        show(f"softmax {width}", ops.softmax(x))
        show(f"log_softmax {width}", ops.log_softmax(x))
        show(f"layer_norm {width}", ops.layer_norm(x, weight, bias))
    show("special rows", ops.softmax(SPECIAL), ops.layer_norm(SPECIAL, SPECIAL, SPECIAL))


def products(ops: Ops) -> None:
    show("matmul", ops.matmul(numbers(7, 3), numbers(3, 17)), ops.matmul(numbers(2, 1, 3), numbers(3, 65)))
    show("matmul without columns", ops.matmul(numbers(2, 0), numbers(0, 3)))
    for kind in KINDS:
        for transposed, shape in ((False, (5, 66)), (True, (66, 5))):
            weight = pack_matrix(ops.executor, numbers(*shape), f32, KINDS[kind], transposed=transposed)
            show(f"packed {kind} {transposed}", weight.data)
            show(
                f"linear {kind} {transposed}",
                ops.linear(numbers(3, 5), weight),
                ops.linear(numbers(3, 5), weight, numbers(66)),
            )
            show(f"embedding {kind} {transposed}", ops.embedding(weight, [0, 65, 64]))
    show("embedding", ops.embedding(numbers(3, 17), [2, 0]))
    wide = np.asarray(numbers(2, 3), np.float64)
    stored = {
        "f16": (f16, numbers(2, 3).astype(np.float16)),
        "bf16": (bf16, np.arange(6, dtype=np.uint16).reshape(2, 3)),
        "f64": (f64, wide),
    }
    for name, (kind, source) in stored.items():
        show(f"packed from {name}", pack_matrix(ops.executor, source, kind, f32).data)


def attention(ops: Ops) -> None:
    for tokens, head_dim in ((1, 1), (3, 4), (5, 17)):
        q, k, v = numbers(tokens, 2, head_dim), numbers(tokens, 2, head_dim) + 1, numbers(tokens, 2, head_dim) + 2
        show(f"attention {tokens} {head_dim}", ops.attention(q, k, v))
        cache = KVCache.alone(Layout(1, 2, head_dim), 66)
        cache.advance(64)  # zeros
        show(f"attention with a past {tokens} {head_dim}", ops.attention(q[:2], k[:2], v[:2], cache))


def looking(ops: Ops) -> None:
    """What is kept and changed on the way, behind a past, in frames whose rows and keys are not those of the pass."""
    show("deviation", ops.deviation(numbers(3, 17)), ops.deviation(SPECIAL))
    places = {"rows": Place((3,)), "scores": Place((2,), square=True), "pattern": Place((2,), square=True)}
    for kind, tokens in (("f32", 3), ("q8", 1), ("f16", 5)):
        layout = FrameLayout(places, 4, 70)
        memory = aligned(layout.count + 1, np.float32)
        table, targets = layout.table, np.array([2, -1, 0, 1, -1][:tokens])
        target = [Target(memory, table, targets, number) for number in range(3)]
        ops.keep(numbers(tokens, 9)[:, 3:6], target[0])
        q, k, v = (numbers(tokens, 2, 17) + i for i in range(3))
        cache = KVCache.alone(Layout(1, 2, 17, kind), 70)
        cache.advance(63)  # zeros
        cache.reserve(tokens)
        part = np.zeros(tokens, np.int32), cache
        batch = Batch.empty(form_of([part], 256, last_only=True, blocks=2), cache.pool.memory)
        batch.fill([part])
        z = ops.attention_batch(q, k, v, batch, 0, scores=target[1], pattern=target[2])
        show(f"kept {kind}", z, memory[: layout.count])
        scores = ops.attention_scores(q, k, v, batch, 0, 0.25)
        change = Change.nothing(tokens, 1, numbers(7))
        change.write(np.array([0]), "add", 1, 60, np.array([3]), np.array([2]), (0, 1), 2.0)
        ops.edit(scores, change)
        pattern = ops.attention_pattern(scores, batch)
        ops.keep(pattern, target[1])
        ops.next_frame(table)
        show(f"apart {kind}", memory[: layout.count], ops.attention_mix(pattern, batch, 0), table)


if __name__ == "__main__":
    print("reference", reference.wanted())
    engine = Ops(Eager(1))
    with np.errstate(all="ignore"):
        for part in (elementwise, rows, products, attention, looking):
            part(engine)
    sys.stdout.flush()
