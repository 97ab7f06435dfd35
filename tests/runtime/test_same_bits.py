"""One result, bit for bit: for any number of threads, rows of a batch, processor level, and kernels run as Python."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassformer
from glassformer.runtime.engine import ACTIVATIONS, Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.kv_cache import KVCache, Layout
from glassformer.runtime.packed import KINDS, convert_array, pack_matrix
from glassformer.simd.target import runnable_targets
from glassformer.simd.types import f32

BINARY = ("add", "subtract", "multiply", "divide", "minimum", "maximum")
UNARY = ("exp", "log", "sqrt", "negative", "absolute", "sigmoid", "relu", "tanh", "silu", "gelu")
SMALL_CASES = Path(__file__).parent / "reference_mode_cases.py"


def numbers(*shape: int) -> Any:
    return np.asarray(np.random.default_rng(shape).standard_normal(shape), np.float32)


def attend(ops: Ops, tokens: int, head_dim: int, chunk: int) -> Any:
    q, k, v = (numbers(tokens, 2, head_dim) * np.float32(i + 1) for i in range(3))
    store, parts = KVCache.alone(Layout(1, 2, head_dim), tokens), []
    for i in range(0, tokens, chunk):
        parts.append(ops.attention(q[i : i + chunk], k[i : i + chunk], v[i : i + chunk], store))
        store.advance(len(parts[-1]))
    return np.concatenate(parts)


def linear(ops: Ops, rows: int, inputs: int, outputs: int, kind: str) -> Any:
    weight = pack_matrix(ops.executor, numbers(inputs, outputs), f32, KINDS[kind])
    return ops.linear(numbers(rows, inputs), weight, numbers(outputs))


Case = Callable[[Ops], Any]
CASES: dict[str, Case] = {
    "matmul": lambda ops: ops.matmul(numbers(33, 130), numbers(130, 197)),
    "matmul batched": lambda ops: ops.matmul(numbers(5, 7, 30), numbers(2, 1, 30, 70)),
    "matmul vector": lambda ops: ops.matmul(numbers(300), numbers(300, 65)),
    "softmax": lambda ops: ops.softmax(numbers(37, 301) * 10),
    "log_softmax": lambda ops: ops.log_softmax(numbers(37, 301) * 10),
    "layer_norm": lambda ops: ops.layer_norm(numbers(37, 301), numbers(301), numbers(301)),
    "gelu exact": lambda ops: ops.gelu(numbers(9000), approximate="none"),
    "embedding": lambda ops: ops.embedding(numbers(100, 33), np.arange(100)[::-1]),
    "attention whole": lambda ops: attend(ops, 131, 20, 131),
    "attention in chunks": lambda ops: attend(ops, 131, 64, 50),
    "broadcasting": lambda ops: ops.add(numbers(50, 1, 33), numbers(7, 1)),
    "pairs": lambda ops: ops.divide(numbers(9001), numbers(9001)[::-1]),
    **{f"linear {kind}": lambda ops, kind=kind: linear(ops, 13, 129, 200, kind) for kind in KINDS},  # type: ignore[misc]
    **{n: lambda ops, n=n: getattr(ops, n)(numbers(90, 101), numbers(90, 101) + 0) for n in BINARY},  # type: ignore[misc]
    **{n: lambda ops, n=n: getattr(ops, n)(np.abs(numbers(90, 101)) * 4) for n in UNARY},  # type: ignore[misc]
    **{f"activation {n}": lambda ops, n=n: ops.activation(n, numbers(90, 101) * 4) for n in ACTIVATIONS},  # type: ignore[misc]
}


@cache
def engine(threads: int, target: str | None = None) -> Ops:
    return Ops(Eager(threads, target))


@pytest.mark.usefixtures("shared_always")
@pytest.mark.parametrize("name", CASES)
def test_threads(name: str) -> None:
    alone = CASES[name](engine(1))
    for threads in (2, 3, 8):
        for _ in range(3):  # who takes which task differs from run to run
            assert CASES[name](engine(threads)).tobytes() == alone.tobytes(), threads


@pytest.mark.parametrize("target", [t for t in runnable_targets() if t != runnable_targets()[-1]])
@pytest.mark.parametrize("name", CASES)
def test_processor_levels(name: str, target: str) -> None:
    assert CASES[name](engine(1, target)).tobytes() == CASES[name](engine(1)).tobytes()


@pytest.mark.parametrize("target", runnable_targets())
def test_rows_of_a_batch_equal_the_row_alone(target: str) -> None:
    ops = engine(1, target)
    x, bias, square = numbers(13, 100), numbers(130), numbers(100, 130)
    weights = [pack_matrix(ops.executor, square, f32, kind) for kind in KINDS.values()]
    functions = [
        lambda rows: ops.matmul(rows, square), lambda rows: ops.layer_norm(rows, x[0], x[1]), ops.softmax, ops.gelu,
        *(lambda rows, w=w: ops.linear(rows, w, bias) for w in weights),  # type: ignore[misc]
    ]  # fmt: skip
    for function in functions:
        single = [function(x[i : i + 1]).tobytes() for i in range(13)]
        for rows in range(1, 14):
            assert function(x[:rows]).tobytes() == b"".join(single[:rows]), rows


def test_columns_of_a_matrix_equal_the_column_alone(ops: Ops) -> None:
    a, b = numbers(7, 90), numbers(90, 130)
    whole = ops.matmul(a, b)
    for columns in (1, 15, 16, 17, 63, 64, 65, 129):
        np.testing.assert_array_equal(ops.matmul(a, b[:, :columns]), whole[:, :columns])
    np.testing.assert_array_equal(ops.matmul(a, b[:, 77]), whole[:, 77])


def test_packed_and_plain_matrices_give_the_same_bits(ops: Ops) -> None:
    x, weight = numbers(9, 50), numbers(50, 130)
    assert ops.linear(x, pack_matrix(ops.executor, weight, f32, f32)).tobytes() == ops.matmul(x, weight).tobytes()
    transposed = pack_matrix(ops.executor, np.ascontiguousarray(weight.T), f32, f32, transposed=True)
    assert ops.linear(x, transposed).tobytes() == ops.matmul(x, weight).tobytes()


def test_kernels_as_python_give_the_same_bits() -> None:
    """Every kernel of the engine in reference mode, on tiny shapes, in a process of its own."""
    source = str(Path(glassformer.__file__).parent.parent)
    runs = []
    for mode in ("reference", ""):
        environment = {**os.environ, "GLASSFORMER_KERNELS": mode, "PYTHONPATH": source}
        done = subprocess.run(
            [sys.executable, str(SMALL_CASES)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        runs.append(done.stdout.splitlines())
    by_python, compiled = runs
    assert by_python[0] == "reference True"
    assert compiled[0] == "reference False"
    assert len(compiled) > 40
    assert by_python[1:] == compiled[1:]


def test_conversion_to_every_type(ops: Ops) -> None:
    x = numbers(9001)
    for kind in KINDS.values():
        alone = convert_array(engine(1).executor, x, f32, kind)
        assert convert_array(engine(3).executor, x, f32, kind).tobytes() == alone.tobytes()
