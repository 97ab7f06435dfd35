"""The language means what Python means: machine code, reference mode and a plain Python twin agree."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernel_source import import_text

from glassformer.simd import Kernel
from glassformer.simd.reference import MODE_VARIABLE
from glassformer.simd.target import TARGETS, runnable_targets

Array = npt.NDArray[Any]
SOURCE = (Path(__file__).parent / "statement_kernels.txt").read_text(encoding="utf8")
NAMES = re.findall(r"^def (\w+)\(out: Pointer\[i64\], n: i64\)", SOURCE, re.MULTILINE)


class Memory:
    """What a plain Python run takes for a pointer to i64."""

    def __init__(self, data: list[int], start: int = 0) -> None:
        self.data, self.start = data, start

    def __getitem__(self, i: int) -> int:
        return self.data[self.start + i]

    def __setitem__(self, i: int, value: int) -> None:
        self.data[self.start + i] = value

    def __add__(self, i: int) -> Memory:
        return Memory(self.data, self.start + i)

    def __sub__(self, i: int) -> Memory:
        return Memory(self.data, self.start - i)


def as_plain_python(path: Path) -> Any:
    """The module again, with nothing of the language but names that do nothing."""
    space = {"kernel": lambda f: f, "static_range": range, "i64": int, "Pointer": {int: None}}
    exec(path.read_text(encoding="utf8").split("\n", 2)[2], space)
    return space


@pytest.fixture(scope="module")
def scalar_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return import_text(tmp_path_factory.mktemp("kernels"), SOURCE)


@pytest.mark.parametrize("name", NAMES)
def test_statements_mean_what_python_means(name: str, scalar_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case: Kernel = getattr(scalar_module, name)
    plain = as_plain_python(Path(scalar_module.__file__))[name]
    for n in (0, 1, 3, 5, -2):
        want = [0] * 64
        if name == "pointers" and n < 0:
            continue
        plain(Memory(want), n)
        found = np.zeros(64, np.int64)
        case(found, n)
        assert found.tolist() == want, f"compiled, n = {n}"
        monkeypatch.setenv(MODE_VARIABLE, "reference")
        found[:] = 0
        case(found, n)
        assert found.tolist() == want, f"reference mode, n = {n}"
        monkeypatch.delenv(MODE_VARIABLE)


MASKED = """
@kernel
def masked(x: Pointer[f32], out: Pointer[f32], count: i64) -> None:
    store(out, load(x, f32x16, count=count) + 1.0, count=count)
    store(out + 16, load(x, f32x16, count=count))
    store(cast(out + 32, u8), load(cast(x, u8), u8x64, count=count), count=count)
    store(cast(out + 48, u16), load(cast(x, u16), vector(u16, 2), count=count), count=count)
    store(out + 52, load(x, f32x4, count=2), count=3)
    store(out + 56, load(x, f32x4, count=9), count=4)
"""


@pytest.mark.parametrize("target", [*runnable_targets(), "reference"])
def test_a_count_bounds_what_is_touched(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masked = import_text(tmp_path, MASKED).masked
    x = np.arange(1, 17, dtype=np.float32)
    if target == "reference":
        monkeypatch.setenv(MODE_VARIABLE, "reference")
    for count in (-(2**63), -1, 0, 1, 2, 5, 15, 16, 17, 63, 64, 2**63 - 1):
        out = np.full(64, -1, np.float32)
        masked.specialise()(x, out, count, **({} if target == "reference" else {"target": TARGETS[target]}))
        want = np.full(64, -1, np.float32)
        used = max(0, min(count, 16))
        want[:used] = x[:used] + 1
        want[16:32] = np.where(np.arange(16) < used, x, 0)
        size = max(0, min(count, 64))
        want.view(np.uint8)[128 : 128 + size] = x.view(np.uint8)[:size]
        size = 2 * max(0, min(count, 2))
        want.view(np.uint8)[192 : 192 + size] = x.view(np.uint8)[:size]
        want[52:55], want[56:60] = [1, 2, 0], [1, 2, 3, 4]
        assert np.array_equal(out, want), count


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="protects pages as POSIX does")
def test_a_count_keeps_off_pages_that_are_not_there(tmp_path: Path) -> None:
    size = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert libc.mprotect(address + size, size, 0) == 0
    text = """
@kernel
def edge(x: Pointer[f32], count: i64) -> None:
    v = load(x, f32x16, count=count)
    store(x, v + 1.0, count=count)
    b = load(cast(x, u8), u8x64, count=count * 4)
    store(cast(x, u8), b, count=count * 4)
"""
    edge = import_text(tmp_path, text).edge.specialise()
    for target in runnable_targets():
        for count in (0, 1, 3, 15):
            edge(address + size - 4 * count, count, target=TARGETS[target])
    assert libc.mprotect(address + size, size, 3) == 0


GENERIC = """
@kernel
def smooth(x: f32xN, y: f32xN) -> f32xN:
    half = f32xN(0.5)
    bits = bitcast(x, i32xN) ^ bitcast(y, i32xN)
    return select(bits < 0, x * half, fma(x, y, 1.0))


@kernel
def both(x: f32xN) -> f32xN:
    return smooth(x, 2.0) + smooth(1.0, x)


@kernel
def work(x: Pointer[f32], out: Pointer[f32], *, T: type) -> None:
    v = load(x, T)
    store(out, both(v))
    store(out + 16, f32x16(smooth(lane(v, 1), 3.0)))
"""


@pytest.mark.parametrize("lanes", [2, 4, 16])
def test_kernels_of_n_lanes_fit_every_width(lanes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glassformer.simd import f32, vector

    work = import_text(tmp_path, GENERIC).work
    x = np.linspace(-2, 2, 16).astype(np.float32)
    results = []
    for mode in ("", "reference"):
        monkeypatch.setenv(MODE_VARIABLE, mode)
        out = np.zeros(32, np.float32)
        work(x, out, T=vector(f32, lanes))
        results.append(out)
    expected = [
        np.float32(np.where((a < 0) != (b < 0), a * np.float32(0.5), a * b + np.float32(1)))
        for a, b in ((x, 2 + 0 * x), (1 + 0 * x, x))
    ]
    assert np.array_equal(results[0][:lanes], (expected[0] + expected[1])[:lanes])
    assert np.array_equal(results[0].view(np.uint32), results[1].view(np.uint32))


def test_a_variable_never_assigned_is_zero(tmp_path: Path) -> None:
    text = "@kernel\ndef work(n: i64) -> i64:\n    for i in range(n):\n        late = i64(41)\n    return late + 1\n"
    work = import_text(tmp_path, text).work
    assert work(3) == 42
    assert work(0) == 1


def test_results_and_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "@kernel\ndef span(x: Pointer[i64], begin: i64, end: i64) -> None:\n"
        "    for i in range(begin, end):\n        x[i] += 1\n\n\n"
        "@kernel\ndef numbers(a: i8, b: u8, c: i16, d: u16, e: i32, f: u32, g: i64, h: u64, i: f32, j: f64) -> i64:\n"
        "    return i64(a) + i64(b) + i64(c) + i64(d) + i64(e) + i64(f) + g + i64(h) + i64(i) + i64(j)\n"
    )
    module = import_text(tmp_path, text)
    for mode in ("", "reference"):
        monkeypatch.setenv(MODE_VARIABLE, mode)
        data = np.zeros(8, np.int64)
        module.span.specialise()(data, begin=1, end=4)
        module.span(data, 3, 8)
        assert data.tolist() == [0, 1, 1, 2, 1, 1, 1, 1]
        values = (-128, 255, -32768, 65535, -(2**31), 2**32 - 1, -(2**40), 2**40, -3.75, 2.5)
        assert module.numbers(*values) == sum(map(int, values))


def test_a_tree_reads_like_the_kernel(tmp_path: Path) -> None:
    text = '''
@kernel
def scale(x: f32xN, *, BY: float) -> f32xN:
    return x * BY


@kernel
def work(x: Pointer[f32], n: i64) -> i64:
    """Is shown without this text."""
    total = [f32x4(0.0) for t in static_range(2)]
    for i in range(0, n, 4):
        for t in static_range(2):
            total[t] = fma(load(x + i, f32x4, count=n - i), t + 1, total[t])
    while n > 3 and n < 9:
        n -= 1
        if n == 5:
            break
        else:
            continue
    x[0] = reduce_add(scale(total[1], BY=2.0)) if n > 0 else 0.5
    store(x, total[0])
    return n
'''
    assert import_text(tmp_path, text).work.tree() == TREE


TREE = """\
kernel work(x: Pointer[f32], n: i64) -> i64
  total[0]: f32x4 = f32x4(0.0)
  total[1]: f32x4 = f32x4(0.0)
  for i: i64 in range(i64(0), n, i64(4))
    total[0]: f32x4 = fma(load(offset(x, i): Pointer[f32], f32x4, sub(n, i): i64): f32x4, f32x4(1), total[0]): f32x4
    total[1]: f32x4 = fma(load(offset(x, i): Pointer[f32], f32x4, sub(n, i): i64): f32x4, f32x4(2), total[1]): f32x4
  while (gt(n, i64(3)): bool1 and lt(n, i64(9)): bool1)
    n: i64 = sub(n, i64(1)): i64
    if eq(n, i64(5)): bool1
      break
    else
      continue
  store(offset(x, i64(0)): Pointer[f32], (reduce_add(scale(total[1])): f32 if gt(n, i64(0)): bool1 else f32(0.5)))
  store(x, total[0])
  return n
"""
