"""The same kernels for processors that this machine is not: ARM64 and WebAssembly objects, looked into."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kernel_source import import_text
from table_kernels import functions_text, kernel_text

from glassformer.simd.target import TARGETS, TargetError, load_llvm
from glassformer.simd.types import i32

TEXT = """
@kernel
def dot(w: Pointer[u8], x: Pointer[i8], out: Pointer[i32], n: i64) -> None:
    total = i32x16(0)
    for i in range(0, n, 64):
        total = dot_u8_i8(total, load(w + i, u8x64), broadcast_4(x + i))
    store(out, total)


@kernel
def axpy(a: f32, x: Pointer[f32], y: Pointer[f32], n: i64) -> None:
    for i in range(0, n, 16):
        v = load(x + i, f32x16, count=n - i)
        store(y + i, fma(v, a, load(y + i, f32x16, count=n - i)), count=n - i)


@kernel
def widen(x: Pointer[f16], out: Pointer[f32], n: i64) -> None:
    for i in range(0, n, 16):
        store(out + i, f32x16(load(x + i, f16x16)))


@kernel
def count_up(p: Pointer[i64]) -> i64:
    while atomic_load(p) < 10:
        pause()
    return atomic_add(p, 1)
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return import_text(tmp_path_factory.mktemp("kernels"), TEXT)


def object_code(kernel: Any, target: str) -> bytes:
    try:
        return bytes(kernel.specialise().compile_for(TARGETS[target]))
    except TargetError as error:
        pytest.skip(str(error))


def instructions(kernel: Any, target: str) -> Counter[str]:
    """How often each instruction stands in the text section of an ARM64 object."""
    capstone = pytest.importorskip("capstone")
    code = load_llvm().ObjectFileRef.from_data(object_code(kernel, target))
    machine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    data = b"".join(s.data() for s in code.sections() if s.is_text())
    found = Counter(i.mnemonic for i in machine.disasm(data, 0))
    assert sum(found.values()) * 4 == len(data)  # nothing that is no instruction
    return found


def test_arm64_has_its_own_instructions(module: Any) -> None:
    plain, best = instructions(module.dot, "arm64"), instructions(module.dot, "arm64-dotprod")
    assert best["usdot"] == 4  # four registers of 128 bits make the 16 lanes
    assert not plain["usdot"]
    for target in ("arm64", "arm64-dotprod"):
        assert instructions(module.axpy, target)["fmla"] >= 4
        assert instructions(module.widen, target)["fcvtl"] + instructions(module.widen, target)["fcvtl2"] == 4
        assert instructions(module.count_up, target)["yield"] + instructions(module.count_up, target)["hint"] == 1


@pytest.mark.parametrize("name", ["dot", "axpy", "widen", "count_up"])
def test_webassembly_objects(name: str, module: Any) -> None:
    code = object_code(getattr(module, name), "wasm32")
    assert code[:8] == b"\0asm\x01\0\0\0"
    assert b"glassformer_entry" in code


@pytest.mark.parametrize("target", ["arm64", "arm64-dotprod", "wasm32"])
def test_every_operation_has_code_elsewhere(target: str, tmp_path: Path) -> None:
    work = import_text(tmp_path, kernel_text(i32, lanes=(1, 16))[0]).work
    assert len(object_code(work, target)) > 10_000
    functions = import_text(tmp_path, functions_text(16)[0]).work
    assert len(object_code(functions, target)) > 2_000


def test_a_dot_product_is_the_best_instruction_of_each_level(module: Any) -> None:
    wanted = {
        "baseline": "pmaddwd",
        "avx2": "vpmaddwd",
        "avx512": "vpmaddwd",
        "avx512-vnni": "vpdpbusd",
        "arm64-dotprod": "usdot",
    }
    for target, instruction in wanted.items():
        try:
            text = module.dot.assembly(target)
        except TargetError as error:
            pytest.skip(str(error))
        assert instruction in text, target
    assert "vfmadd" in module.axpy.assembly("avx2")
    assert "zmm" in module.axpy.assembly("avx512")
    assert "zmm" not in module.axpy.assembly("avx2")


@pytest.mark.parametrize("target", ["baseline", "avx2", "avx512", "avx512-vnni"])
def test_kernels_call_no_library(target: str, module: Any, tmp_path: Path) -> None:
    functions = import_text(tmp_path, functions_text(16)[0]).work
    for kernel in (module.dot, module.axpy, module.widen, functions):
        calls = [
            line.split() for line in kernel.assembly(target).splitlines() if line.split()[:1] in (["callq"], ["call"])
        ]
        assert not calls
