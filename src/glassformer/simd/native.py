"""LLVM: from IR to optimised machine code, and machine code into this process."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from glassformer.simd.target import Target, find_target, load_llvm

_llvm_lock = threading.Lock()  # LLVM's context is shared


def optimise(ir: str, target: Target, emit: str) -> Any:
    """Optimise a module and `emit_object` or `emit_assembly`."""
    with _llvm_lock:
        llvm = load_llvm()
        machine = target.machine()
        module = llvm.parse_assembly(ir)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        # Kernels say themselves what is a vector and what is unrolled.
        options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = options.loop_interleaving = (
            False
        )
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        return getattr(machine, emit)(module)


@cache
def engine() -> Any:
    """LLVM's linker into this process; it owns the code, so it lives as long as the process."""
    llvm, target = load_llvm(), find_target()
    nothing = llvm.parse_assembly(f'target triple = "{target.triple}"')  # the triple decides how symbols are spelled
    return llvm.create_mcjit_compiler(nothing, target.machine(jit=True))


def link(code: bytes, symbol: str) -> int:
    """Load object code; the address of a symbol that no other object has."""
    with _llvm_lock:
        linker = engine()
        linker.add_object_file(load_llvm().ObjectFileRef.from_data(code))
        linker.finalize_object()
        return int(linker.get_function_address(symbol))
