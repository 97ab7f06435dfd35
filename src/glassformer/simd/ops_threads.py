"""Operations between threads: atomics (sequentially consistent), a pause, calls through addresses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from glassformer.simd.builder import Builder, llvm_type
from glassformer.simd.errors import OperandError
from glassformer.simd.ops_memory import place
from glassformer.simd.table import (
    Arg,
    Kind,
    Operand,
    Signature,
    Static,
    define,
    literal_fits,
    need_integer,
    need_pointer,
)
from glassformer.simd.types import Array, PointerValue, Value, byte_size, i64, numpy_dtype


def atomic_pointer(operand: Operand) -> Any:
    """A pointer to integers of a size that processors handle at once."""
    pointer = need_pointer(operand)
    if pointer.element.kind not in "iu" or pointer.element.bits not in (32, 64) or pointer.element.lanes != 1:
        raise OperandError(f"atomics are for pointers to i32, u32, i64 and u64, not {pointer.name}")
    return pointer


def sign_atomic(operands: Sequence[Operand]) -> Signature:
    """Pointer and values of its element type to a value of that type."""
    pointer = atomic_pointer(operands[0])
    values = tuple(check_element(o, pointer.element) for o in operands[1:])
    return Signature((pointer, *values), pointer.element)


def check_element(operand: Operand, element: type[Value]) -> type[Value]:
    """A value that is to be written through the pointer."""
    if isinstance(operand, Static):
        if not literal_fits(operand.value, element):
            raise OperandError(f"the literal {operand.value!r} does not fit {element.name}")
    elif operand is not element:
        raise OperandError(f"the pointer holds {element.name}, the value is {operand.name}")
    return element


def element_view(p: PointerValue) -> Array:
    """The one element at a pointer, writable."""
    return p.memory[place(p, 1, byte_size(p.element))].view(numpy_dtype(p.element))


def reference_atomic_load(result: Kind, p: PointerValue) -> Array:
    return np.array(element_view(p)[0])


def reference_atomic_store(result: Any, p: PointerValue, x: Any) -> None:
    element_view(p)[0] = x


def reference_atomic_add(result: Kind, p: PointerValue, x: Any) -> Array:
    view = element_view(p)
    before = np.array(view[0])
    with np.errstate(all="ignore"):
        view[0] = before + x
    return before


def reference_compare_exchange(result: Kind, p: PointerValue, expected: Any, x: Any) -> Array:
    view = element_view(p)
    before = np.array(view[0])
    if before == expected:
        view[0] = x
    return before


def lower_atomic_load(b: Builder, result: Kind, p: Arg) -> str:
    return b.value(f"load atomic {llvm_type(result)}, ptr {p.text} seq_cst, align {result.bits // 8}")


def lower_atomic_store(b: Builder, result: Any, p: Arg, x: Arg) -> str:
    b.line(f"store atomic {llvm_type(x.kind)} {x.text}, ptr {p.text} seq_cst, align {x.kind.bits // 8}")
    return ""


def lower_atomic_add(b: Builder, result: Kind, p: Arg, x: Arg) -> str:
    return b.value(f"atomicrmw add ptr {p.text}, {llvm_type(result)} {x.text} seq_cst")


def lower_compare_exchange(b: Builder, result: Kind, p: Arg, expected: Arg, x: Arg) -> str:
    kind = llvm_type(result)
    both = b.value(f"cmpxchg ptr {p.text}, {kind} {expected.text}, {kind} {x.text} seq_cst seq_cst")
    return b.value(f"extractvalue {{ {kind}, i1 }} {both}, 0")


def sign_atomic_store(operands: Sequence[Operand]) -> Signature:
    return Signature(sign_atomic(operands).operands, None)


atomic_load = define(
    "atomic_load",
    "the integer at p, read at once",
    "p",
    sign_atomic,
    reference_atomic_load,
    lower_atomic_load,
    group="threads",
)
atomic_store = define(
    "atomic_store",
    "write the integer at p at once",
    "p x",
    sign_atomic_store,
    reference_atomic_store,
    lower_atomic_store,
    group="threads",
)
atomic_add = define(
    "atomic_add",
    "add x to the integer at p; the value before",
    "p x",
    sign_atomic,
    reference_atomic_add,
    lower_atomic_add,
    group="threads",
)
compare_exchange = define(
    "compare_exchange",
    "write x at p if p holds `expected`; the value before",
    "p expected x",
    sign_atomic,
    reference_compare_exchange,
    lower_compare_exchange,
    group="threads",
)


def lower_pause(b: Builder, result: Any) -> str:
    return ""


def lower_pause_x86(b: Builder, result: Any) -> str:
    b.intrinsic("llvm.x86.sse2.pause", "void")
    return ""


def lower_pause_arm(b: Builder, result: Any) -> str:
    b.intrinsic("llvm.aarch64.hint", "void", ("i32", "1"))
    return ""


pause = define(
    "pause",
    "tell the processor that this is a waiting loop",
    "",
    lambda operands: Signature((), None),
    lambda result: None,
    lower_pause,
    group="threads",
    overrides={"x86": lower_pause_x86, "arm64": lower_pause_arm},
)


def lower_clock(b: Builder, result: Kind) -> str:
    return "0"


def lower_clock_counter(b: Builder, result: Kind) -> str:
    return b.intrinsic("llvm.readcyclecounter", "i64")  # rdtsc; cntvct_el0, which user code may read


clock = define(
    "clock",
    "ticks of a counter that all threads share and whose rate does not change; 0 on targets without one",
    "",
    lambda operands: Signature((), i64),
    lambda result: np.array(time.perf_counter_ns()),
    lower_clock,
    group="threads",
    overrides={"x86": lower_clock_counter, "arm64": lower_clock_counter},
)


def sign_call_entry(operands: Sequence[Operand]) -> Signature:
    kinds = tuple(need_integer(o, i64, "an operand of call_entry") for o in operands)
    return Signature(kinds, i64)


def reference_call_entry(result: Kind, address: Any, arguments: Any, begin: Any, end: Any) -> Array:
    raise OperandError("call_entry runs machine code; reference mode calls kernels by name")


def lower_call_entry(b: Builder, result: Kind, address: Arg, arguments: Arg, begin: Arg, end: Arg) -> str:
    function, block = (b.value(f"inttoptr i64 {a.text} to ptr") for a in (address, arguments))
    return b.value(f"call i64 {function}(ptr {block}, i64 {begin.text}, i64 {end.text})")


call_entry = define(
    "call_entry",
    "run a compiled kernel: addresses (i64) of its entry and of its block of arguments, and a range of tasks",
    "address arguments begin end",
    sign_call_entry,
    reference_call_entry,
    lower_call_entry,
    group="threads",
)

__all__ = ["atomic_add", "atomic_load", "atomic_store", "call_entry", "clock", "compare_exchange", "pause"]
