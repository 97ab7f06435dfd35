"""LLVM: from IR to optimised machine code, and machine code into this process."""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

from glassformer.simd.target import Target, find_target, load_llvm

_llvm_lock = threading.Lock()  # LLVM's context is shared
_linked: dict[str, Any] = {}  # what holds the code of each symbol
_used = threading.Event()  # LLVM has worked since its memory was given back


def optimise(ir: str, target: Target, emit: str) -> Any:
    """Optimise a module and `emit_object` or `emit_assembly`."""
    with _llvm_lock:
        _used.set()
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
    """LLVM's linker into this process; it owns the code, so it lives as long as the process.

    JITLink puts the sections of an object side by side. RuntimeDyld, which it replaces, asks the system for memory for
    each, and aborts the process where code and its constants come to lie more than 2 GB apart: that happens among many
    other mappings.
    """
    llvm, target = load_llvm(), find_target()
    return llvm.create_lljit_compiler(target.machine(jit=True), use_jit_link=sys.platform != "win32")


def link(code: bytes, symbol: str) -> int:
    """Load object code; the address of a symbol that no other object has."""
    with _llvm_lock:
        _used.set()
        if symbol not in _linked:
            library = load_llvm().JITLibraryBuilder().add_object_img(code).export_symbol(symbol)
            _linked[symbol] = library.link(engine(), symbol)
        return int(_linked[symbol][symbol])


def give_back() -> None:
    """Let the system take back what LLVM leaves behind: pages of its file and freed memory, some 70 MB in all.

    So with the library that makes the names of cached objects. The kernels need neither, and these pages come back from
    the files when they are needed again. Does nothing where the system does not show its mappings.
    """
    maps, advice = Path("/proc/self/smaps"), getattr(mmap, "MADV_DONTNEED", None)
    if advice is None or not maps.exists() or not _used.is_set():
        return
    _used.clear()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    found = maps.read_text(encoding="utf8", errors="replace")
    for name in ("libllvmlite", "libcrypto"):
        for start, end in clean_mappings(found, name):
            libc.madvise(start, end - start, advice)


def clean_mappings(smaps: str, name: str) -> list[tuple[int, int]]:
    """Bounds of a file's mappings that cannot be written and have no page that ever was, by proc(5)'s `smaps`."""
    found: list[tuple[int, int]] = []
    bounds = None
    for line in smaps.splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            wanted = name in line and "w" not in rest[0]
            low, _, high = first.partition("-")
            bounds = (int(low, 16), int(high, 16)) if wanted else None
        elif first == "Private_Dirty:" and bounds and rest[0] == "0":
            found.append(bounds)
    return found
