"""Reference mode: a kernel as the Python that it is, with bounds and ranges checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_source import import_text

from glassformer.errors import GlassformerError
from glassformer.simd import (
    OperandError,
    bf16,
    bool1,
    f16,
    f32,
    f32x4,
    f64,
    i8,
    i32,
    i32x4,
    i64,
    mask4,
    reference,
    u8,
    u16,
)
from glassformer.simd.ops_memory import ReferenceFault
from glassformer.simd.reference import MODE_VARIABLE
from glassformer.simd.types import Pointer

TEXT = """
@kernel
def at(x: Pointer[f32], i: i64) -> None:
    x[i] = x[i] + 1.0


@kernel
def whole(x: Pointer[f32], i: i64) -> None:
    store(x + i, load(x + i, f32x4))


@kernel
def gathered(x: Pointer[f32], i: i64) -> None:
    store(x, gather(x, i32x4(i32(i))))


@kernel
def atomic(x: Pointer[f32], i: i64) -> None:
    atomic_add(cast(x, i32) + i, 1)


@kernel
def divided(x: Pointer[f32], i: i64) -> None:
    x[0] = f32(7 // i)


@kernel
def fitted(x: Pointer[f32], i: i64) -> None:
    x[0] = f32(i8(x[0] + f32(i)))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(MODE_VARIABLE, "reference")
    return import_text(tmp_path, TEXT)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("at", (0, 7), (-1, 8, 2**40)),
        ("whole", (0, 4), (-1, 5, 8)),
        ("gathered", (0, 7), (-1, 8)),
        ("atomic", (0, 7), (-1, 8)),
    ],
)
def test_an_access_out_of_bounds_is_a_fault(
    name: str, inside: tuple[int, ...], outside: tuple[int, ...], module: Any
) -> None:
    run = getattr(module, name)
    for i in inside:
        run(np.zeros(8, np.float32), i)
    for i in outside:
        with pytest.raises(ReferenceFault, match="of 32 accessed through Pointer"):
            run(np.zeros(8, np.float32), i)


def test_what_processors_trap_on_or_leave_open_is_an_error(module: Any) -> None:
    x = np.full(8, 100, np.float32)
    with pytest.raises(OperandError, match="division by 0"):
        module.divided(x, 0)
    module.fitted(x, 27)
    with pytest.raises(OperandError, match="does not fit i8; use saturate"):
        module.fitted(x, 28)


def test_the_environment_chooses_at_each_call(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros(8, np.float32)
    with pytest.raises(OperandError, match="takes arrays for pointers"):
        module.at(x.ctypes.data, 0)
    with pytest.raises(OperandError, match="holds float64, the kernel takes f32"):
        module.at(np.zeros(8), 0)
    monkeypatch.setenv(MODE_VARIABLE, "")
    module.at(x.ctypes.data, 0)
    assert x[0] == 1
    assert not reference.running()


def test_values_round_and_wrap() -> None:
    assert int(i8(127) + 1) == -128
    assert int(u8(3) - 4) == 255
    assert int(u16(f32(65535.0)) + 1) == 0
    assert float(f32(0.1)) == float(np.float32(0.1))
    assert float(f32(16777216.0) + 1) == 16777216.0
    assert float(f32(f16(f32(1 / 3)))) == float(np.float16(1 / 3))
    assert float(f32(bf16(f32(1.00390625)))) == 1.0  # a tie, to even
    assert float(f64(f32(0.1)) + 0.2) == float(np.float32(0.1)) + 0.2
    assert int(1 << i32(33)) == 2
    assert repr(f32x4(1.5)) == "f32x4([1.5 1.5 1.5 1.5])"
    assert list(f32x4(f32x4(1.0) > 0.0).data) == [1.0] * 4
    assert bool(bool1(True) & (i64(3) == 3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: f32(1.0) + i64(1),
        lambda: f32x4(1.0) + i32x4(1),
        lambda: i8(200),
        lambda: i8(1.5),
        lambda: f32(1e40),
        lambda: f32("1"),
        lambda: bool(f32x4(1.0) < 2.0),
        lambda: f32x4(1.0)[0],
        lambda: int(f32x4(1.0)),
        lambda: range(f32(1.0)),
        lambda: f16(f32(1.0)) + 1,
        lambda: Pointer[f32](0),
        lambda: list(f32x4(1.0)),
        lambda: mask4(f32x4(1.0)),
        lambda: ~f32(1.0),
    ],
)
def test_a_wrong_operation_on_values_is_our_error(wrong: Any) -> None:
    with pytest.raises(GlassformerError):
        wrong()


def test_a_fault_leaves_the_mode_as_it_was(module: Any) -> None:
    with pytest.raises(ReferenceFault):
        module.at(np.zeros(1, np.float32), 9)
    assert not reference.running()
