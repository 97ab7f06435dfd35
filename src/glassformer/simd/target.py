"""What machine code is made for: a processor level of an architecture, and LLVM's view of it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from typing import Any

from glassformer.simd.errors import TargetError

TARGET_VARIABLE = "GLASSFORMER_TARGET"


@dataclass(frozen=True)
class Target:
    """A processor level. `features` are what lowerings ask for; `cpu` and `llvm_features` are what LLVM is told."""

    name: str
    triple: str
    cpu: str
    llvm_features: str
    features: frozenset[str]
    vector_bits: int  # of the widest register
    requires: tuple[str, ...] = ()  # features the host must report to run it

    def attribute_lines(self) -> list[str]:
        """Attributes of every function: no calls into a C library, and registers as wide as the level has."""
        wide = f'"min-legal-vector-width"="{self.vector_bits}" "prefer-vector-width"="{self.vector_bits}"'
        return [f'attributes #0 = {{ nounwind "no-builtins" {wide} }}']

    def machine(self, *, jit: bool = False) -> Any:
        """LLVM's target machine."""
        llvm = load_llvm()
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        try:
            target = llvm.Target.from_triple(self.triple)
        except RuntimeError as error:
            raise TargetError(f"this LLVM has no back end for {self.triple}: {error}") from None
        return target.create_target_machine(
            cpu=self.cpu,
            features=self.llvm_features,
            opt=2,
            reloc="pic",
            codemodel="jitdefault" if jit else "default",
            jit=jit,
        )


X86_TRIPLES = {"Windows": "x86_64-pc-windows-msvc-elf", "Darwin": "x86_64-apple-macosx"}
ARM_TRIPLES = {"Windows": "aarch64-pc-windows-msvc-elf", "Darwin": "arm64-apple-macosx"}
_SYSTEM = platform.system()
_X86 = X86_TRIPLES.get(_SYSTEM, "x86_64-unknown-linux-gnu")
_ARM = ARM_TRIPLES.get(_SYSTEM, "aarch64-unknown-linux-gnu")

_SSE = frozenset({"x86"})
_AVX2 = _SSE | {"fma", "f16c", "avx2"}
_AVX512 = _AVX2 | {"avx512", "masked"}
_V3 = ("avx2", "fma", "f16c", "bmi2")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512dq", "avx512vl")

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("baseline", _X86, "x86-64-v2", "", _SSE, 128),
        Target("avx2", _X86, "x86-64-v3", "", _AVX2, 256, _V3),
        Target("avx512", _X86, "x86-64-v4", "-prefer-256-bit", _AVX512, 512, _V4),
        Target("avx512-vnni", _X86, "x86-64-v4", "-prefer-256-bit,+avx512vnni,+avx512bf16",
               _AVX512 | {"vnni", "bf16"}, 512, (*_V4, "avx512vnni", "avx512bf16")),
        Target("arm64", _ARM, "generic", "+neon,+fp-armv8", frozenset({"arm64", "fma", "f16c"}), 128),
        Target("arm64-dotprod", _ARM, "generic", "+neon,+fp-armv8,+dotprod,+i8mm",
               frozenset({"arm64", "fma", "f16c", "i8mm"}), 128),
        Target("wasm32", "wasm32-unknown-unknown", "generic", "+simd128", frozenset({"wasm"}), 128),
    )
}  # fmt: skip


@cache
def load_llvm() -> Any:
    """llvmlite's binding, imported when first needed."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@cache
def host_features() -> frozenset[str]:
    """The processor's features by LLVM's names."""
    try:
        return frozenset(name for name, present in load_llvm().get_host_cpu_features().items() if present)
    except RuntimeError:  # a host that LLVM cannot ask
        return frozenset()


@cache
def runnable_targets() -> tuple[str, ...]:
    """Names of the levels that this machine can run, best last."""
    arm = platform.machine().lower() in ("arm64", "aarch64")
    if not arm:
        features = host_features()
        return tuple(t.name for t in TARGETS.values() if "x86" in t.features and features.issuperset(t.requires))
    features = host_features()
    return ("arm64", "arm64-dotprod") if {"dotprod", "i8mm"} <= features else ("arm64",)


def find_target(name: str | None = None) -> Target:
    """The level of that name; without one, what GLASSFORMER_TARGET says, else the best that this machine runs."""
    name = name or os.environ.get(TARGET_VARIABLE) or runnable_targets()[-1]
    if name not in TARGETS:
        raise TargetError(f"unknown target {name!r}; choose from {', '.join(TARGETS)}")
    return TARGETS[name]
