"""Every operation of the table, for every type that it takes, at four widths: machine code has the reference's bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_source import import_text
from table_kernels import Kind, Section, functions_text, kernel_text

from glassformer.simd import Kernel, tree
from glassformer.simd.emit import called
from glassformer.simd.reference import MODE_VARIABLE
from glassformer.simd.table import TABLE, integer_range
from glassformer.simd.target import TARGETS, runnable_targets
from glassformer.simd.types import SCALARS, bf16, f32, i32, numpy_dtype

Array = npt.NDArray[Any]
SIZE = 256
BESIDE = {"barrier", "call_entry", "clock", "stream"}  # in test_atomics.py, test_clock.py and test_stream.py
FLOAT_EDGES = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1.5, 2.5, -0.3333, 1e10, -4.2e9]


def edges(kind: Kind) -> Array:
    """Sixteen values at which things go wrong."""
    dtype = np.dtype(numpy_dtype(kind))
    if kind is bf16:
        return np.array(
            [0, 0x8000, 0x3F80, 0xBF80, 0x7F80, 0xFF80, 0x7FC0, 1, 0x807F, 0x80, 0x7F7F, 0xFF7F, 3, 4, 5, 6], dtype
        )
    if kind.kind in "fh":
        info: Any = np.finfo(dtype)
        tiny = [info.smallest_subnormal, info.smallest_normal, info.max, -info.max]
        with np.errstate(over="ignore"):
            return np.array([*FLOAT_EDGES, *tiny]).astype(dtype)
    low, high = integer_range(kind)
    middle = [0, 1, 2, 3, 7, 8, 9, 100, 85, high // 3, high // 2, high // 2 + 1]
    return np.array([*middle, low, low + 1, high - 1, high], dtype)


def divisors(kind: Kind, x: Array) -> Array:
    """Numbers that division by is defined for, the dividend given."""
    values = np.roll(edges(kind), 5)[np.arange(SIZE) % 16]
    if kind.kind not in "iu":
        return values
    values = np.where(values == 0, 3, values)
    if kind.kind == "i":
        values = np.where(np.arange(SIZE) % 3 == 0, -values, values)
        values = np.where((x == integer_range(kind)[0]) & (values == -1), -2, values)
    return values.astype(x.dtype)


def inputs(kind: Kind) -> list[Array]:
    """Arrays for the generated kernel: all pairs of edge values, others beside them."""
    rng = np.random.default_rng(kind.bits)
    edge, i, dtype = edges(kind), rng.permutation(SIZE), np.dtype(numpy_dtype(kind))
    x, y = edge[i % 16], edge[i // 16]
    z = np.where(i % 5 == 0, rng.integers(0, 100, SIZE).astype(dtype), edge[(3 * i + i // 16) % 16]).astype(dtype)
    small = (rng.integers(0, 500, SIZE) / 4).astype(np.float64 if kind.kind == "f" else np.int64).astype(dtype)
    u, v = rng.integers(0, 256, 4 * SIZE).astype(np.uint8), rng.integers(-128, 128, 4 * SIZE).astype(np.int8)
    u[:40], v[:40] = 255, -128
    weights, places = rng.integers(-2, 3, SIZE).astype(np.int32), rng.integers(0, SIZE, SIZE).astype(np.int32)
    return [x, y, z, divisors(kind, x), small, weights, places, u, v]


def one_nan(kind: Kind, data: Array) -> Array:
    """The bytes of results as lanes, every NaN replaced by the same one."""
    if kind.scalar is bf16:
        lanes = data.view(np.uint16)
        return np.where((lanes & 0x7FFF) > 0x7F80, np.uint16(0x7FC0), lanes)
    lanes = data.view(numpy_dtype(kind))
    if lanes.dtype.kind != "f":
        return lanes
    return np.where(np.isnan(lanes), np.array(np.nan, lanes.dtype), lanes).view(f"u{lanes.dtype.itemsize}")


def differences(sections: list[Section], want: Array, found: Array) -> list[str]:
    """Expressions whose results differ, with an example."""
    out = []
    for section in sections:
        rows = [
            a[section.start :][: section.size * section.rounds].reshape(section.rounds, section.size)
            for a in (want, found)
        ]
        for offset, kind, text in section.places:
            wide = kind.bits // 8 * max(kind.lanes, 1)
            expected, got = (one_nan(kind, np.ascontiguousarray(r[:, offset : offset + wide])) for r in rows)
            if not np.array_equal(expected, got):
                at = tuple(np.argwhere(expected != got)[0])
                out.append(f"{kind.name} {text} of {section.rounds} at {at}: {got[at]}, expected {expected[at]}")
    return out


def targets(kind: Kind) -> list[str]:
    """Levels to run; those that differ in the integer dot product alone count once, but for i32, which has it."""
    twins = {"avx512"} if "avx512-vnni" in runnable_targets() and kind is not i32 else set()
    return [t for t in runnable_targets() if t not in twins]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda k: k.name)
def test_every_target_gives_the_bits_of_the_reference(
    scalar: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, sections = kernel_text(scalar)
    work: Kernel = import_text(tmp_path, text).work
    monkeypatch.setenv("GLASSFORMER_CACHE", str(tmp_path))
    args, end = inputs(scalar), sections[-1].start + sections[-1].size * sections[-1].rounds
    monkeypatch.setenv(MODE_VARIABLE, "reference")
    want = np.full(end, 0xAA, np.uint8)
    work(*args, want)
    monkeypatch.delenv(MODE_VARIABLE)
    assert (want != 0xAA).mean() > 0.5
    for target in targets(scalar):
        found = np.full(end, 0xAA, np.uint8)
        work.specialise()(*args, found, target=TARGETS[target])
        wrong = differences(sections, want, found)
        assert not wrong, f"{target}: {len(wrong)} expressions differ:\n" + "\n".join(wrong[:20])


def operations_of(function: tree.Function) -> set[str]:
    """Names of the operations that a kernel and those that it calls apply."""
    found: set[str] = set()
    stack: list[Any] = [function]
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Apply):
            found.add(node.operation.name)
        if isinstance(node, list | tuple):
            stack.extend(node)
        elif hasattr(node, "__dataclass_fields__") and not isinstance(node, tree.Slot):
            stack.extend(getattr(node, name) for name in node.__dataclass_fields__ if name not in ("operation", "kind"))
    return found


def test_no_operation_is_left_out(tmp_path: Path) -> None:
    covered = set(functions_text(16)[1]) | BESIDE
    for scalar in SCALARS:
        function = import_text(tmp_path, kernel_text(scalar)[0]).work.specialise().function
        assert len(called(function.body)) == 4
        covered |= operations_of(function)
    assert set(TABLE) == covered


@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_functions_have_the_same_bits_everywhere(lanes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, names = functions_text(lanes)
    work: Kernel = import_text(tmp_path, text).work
    monkeypatch.setenv("GLASSFORMER_CACHE", str(tmp_path))
    rng = np.random.default_rng(3)
    x = np.concatenate([edges(f32), rng.standard_normal(240), 10.0 ** rng.uniform(-44, 38, 256)]).astype(np.float32)
    x = x if lanes > 1 else x[::4].copy()
    monkeypatch.setenv(MODE_VARIABLE, "reference")
    want = np.zeros((len(names), len(x)), np.float32)
    work(x, want, len(x))
    monkeypatch.delenv(MODE_VARIABLE)
    for target in runnable_targets():
        found = np.zeros_like(want)
        work.specialise()(x, found, len(x), target=TARGETS[target])
        for name, expected, got in zip(names, want, found, strict=True):
            same = (expected.view(np.uint32) == got.view(np.uint32)) | (np.isnan(expected) & np.isnan(got))
            assert same.all(), f"{target}: {name} at {x[~same][:4]}: {got[~same][:4]}, expected {expected[~same][:4]}"
