"""Plausible and absurd wrong input to the tensor engine: one error of ours each, and never NumPy's or a crash."""

import datetime
from typing import Any

import numpy as np
import pytest

import glassformer
from glassformer import GlassformerError, ops
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.kv_cache import CacheError, KVCache, Layout
from glassformer.simd.errors import TargetError

NO_NUMBERS: list[Any] = [
    None, "3", b"3", ["a"], [[1], [1, 2]], [None], object(), {"a": 1}, {1, 2}, 1j, [1j], 10**400, [10**400], ["1", 2],
    np.array(["x"]), np.array([1, None]), np.datetime64("2020-01-01"),
    [datetime.date(2020, 1, 1)], np.zeros(2, "f4,i4"),
    np.timedelta64(3, "s"), lambda: 1, np.ma, type,
]  # fmt: skip
VECTOR = np.ones(3, np.float32)
MATRIX = np.ones((3, 3), np.float32)
HEADS = np.ones((2, 3, 4), np.float32)
CALLS: dict[str, tuple[Any, ...]] = {  # sound arguments, each of which is replaced in turn
    "matmul": (MATRIX, MATRIX), "add": (VECTOR, VECTOR), "subtract": (VECTOR, VECTOR), "multiply": (VECTOR, VECTOR),
    "divide": (VECTOR, VECTOR), "minimum": (VECTOR, VECTOR), "maximum": (VECTOR, VECTOR), "exp": (VECTOR,),
    "log": (VECTOR,),
    "sqrt": (VECTOR,), "negative": (VECTOR,), "absolute": (VECTOR,), "sigmoid": (VECTOR,), "tanh": (VECTOR,),
    "relu": (VECTOR,),
    "silu": (VECTOR,), "gelu": (VECTOR,), "softmax": (MATRIX,), "log_softmax": (MATRIX,),
    "layer_norm": (MATRIX, VECTOR, VECTOR), "deviation": (MATRIX,),
    "embedding": (MATRIX, np.array([0])), "attention": (HEADS, HEADS, HEADS),
}  # fmt: skip


def test_every_public_operation_is_here() -> None:
    assert {n for n in dir(Ops) if not n.startswith("_")} - set(CALLS) == {
        "activation",
        "linear",
        "attention_batch",
        "attention_mix",
        "attention_pattern",
        "attention_scores",
        "edit",
        "keep",
        "next_frame",
        "layer_norm_for",
        "linear_for",
    }


@pytest.mark.parametrize("name", CALLS)
def test_no_numbers(name: str) -> None:
    sound = CALLS[name]
    getattr(ops, name)(*sound)
    for place in range(len(sound)):
        for wrong in NO_NUMBERS:
            with pytest.raises(ShapeError) as caught:
                getattr(ops, name)(*sound[:place], wrong, *sound[place + 1 :])
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 400


def outcome(name: str, arguments: tuple[Any, ...]) -> str:
    """The message of the error that a call raises; nothing where it computes."""
    try:
        getattr(ops, name)(*arguments)
    except ShapeError as error:
        return str(error)
    return ""


def test_shapes_of_every_number_of_axes_raise_or_compute() -> None:
    shapes = [(), (0,), (1,), (3,), (4,), (3, 3), (3, 4), (0, 3), (2, 3, 4), (1, 1, 1, 1), (2, 3, 4, 5), (1,) * 20]
    refused = 0
    for name, sound in CALLS.items():
        for place in range(len(sound)):
            for shape in shapes:
                message = outcome(name, (*sound[:place], np.zeros(shape), *sound[place + 1 :]))
                refused += bool(message)
                assert not message or str(shape) in message or "ids" in message, (name, message)
    assert refused > 100


def test_too_many_axes_for_numpy() -> None:
    deep: Any = 1.0
    for _ in range(70):
        deep = [deep]
    with pytest.raises(GlassformerError):
        ops.add(deep, 1.0)


def test_unknown_operations_and_targets() -> None:
    with pytest.raises(AttributeError, match=r"glassformer.ops has no operation 'sofmax'"):
        ops.sofmax  # noqa: B018
    with pytest.raises(TargetError, match="unknown target 'avx1024'"):
        Eager(1, "avx1024")
    assert "softmax" in dir(ops)
    assert glassformer.ops is ops


@pytest.mark.parametrize(
    "sizes", [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, -1), (-1, 1, 1, 1), (1, 2**30, 2**20, 2**40)]
)
def test_caches_that_cannot_be(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(CacheError):
        KVCache.alone(Layout(*sizes[:3]), sizes[3])
