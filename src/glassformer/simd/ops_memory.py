"""Operations on memory: loads and stores (whole, masked by a count, gathered), prefetch, pointers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glassformer.errors import GlassformerError
from glassformer.simd.builder import Builder, constant, llvm_type
from glassformer.simd.errors import OperandError
from glassformer.simd.ops_arithmetic import overload
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
    need_static,
    need_type,
    need_value,
)
from glassformer.simd.types import (
    Array,
    PointerValue,
    bool1,
    byte_size,
    i64,
    numpy_dtype,
    open_lanes,
    pointer_to,
    vector,
)


class ReferenceFault(GlassformerError, IndexError):  # noqa: N818  # as in page fault
    """Reference mode caught an access outside the memory that a pointer was made for."""


def place(pointer: PointerValue, count: int, size: int) -> slice:
    """The bytes of `count` elements at a pointer, checked against its memory."""
    start, end = pointer.offset, pointer.offset + count * size
    if count and (start < 0 or end > len(pointer.memory)):  # no lanes touch no memory, wherever the pointer is
        raise ReferenceFault(f"bytes {start} to {end} of {len(pointer.memory)} accessed through {pointer.name}")
    return slice(start, end)


# ---------------------------------------------------------------- pointers


def sign_offset(operands: Sequence[Operand]) -> Signature:
    pointer = need_pointer(operands[0])
    return Signature((pointer, need_integer(operands[1], i64, "a pointer's offset")), pointer)


def reference_offset(result: Any, pointer: PointerValue, count: Any) -> Any:
    return result.at(pointer.memory, pointer.offset + int(count) * byte_size(result.element))


def lower_offset(b: Builder, result: Any, pointer: Arg, count: Arg) -> str:
    return b.value(f"getelementptr {llvm_type(result.element)}, ptr {pointer.text}, i64 {count.text}")


offset = define(
    "offset",
    "`p + i`: the pointer moved by i elements",
    "p i",
    sign_offset,
    reference_offset,
    lower_offset,
    group="memory",
)


def sign_cast(operands: Sequence[Operand]) -> Signature:
    return Signature((need_pointer(operands[0]), None), pointer_to(need_type(operands[1])))


cast = define(
    "cast",
    "the pointer seen as a pointer to elements of type T",
    "p T",
    sign_cast,
    lambda result, p, T: result.at(p.memory, p.offset),
    lambda b, result, p, T: p.text,
    group="memory",
)


# ---------------------------------------------------------------- load and store


def sign_load(operands: Sequence[Operand]) -> Signature:
    pointer, count = need_pointer(operands[0]), operands[2]
    missing = isinstance(operands[1], Static) and operands[1].value is None
    kind = pointer.element if missing else need_type(operands[1])
    kind = kind if kind.lanes else vector(kind.scalar, open_lanes())
    if kind.scalar is not pointer.element.scalar:
        raise OperandError(f"{pointer.name} holds no {kind.name}; write load(cast(p, {kind.scalar.name}), {kind.name})")
    return Signature((pointer, None, sign_count(count, kind)), kind)


def sign_count(count: Operand, kind: Kind) -> Kind | None:
    """The type of an optional `count=`; a literal that covers all lanes is as none."""
    if isinstance(count, Static) and (
        count.value is None or (isinstance(count.value, int) and count.value >= kind.lanes)
    ):
        return None
    if kind.lanes == 1:
        raise OperandError("count is for vectors")
    return need_integer(count, i64, "count")


def bounded(count: Any, lanes: int) -> int:
    """How many lanes a count means."""
    return lanes if count is None else max(0, min(int(count), lanes))


def reference_load(result: Kind, p: PointerValue, kind: Any, count: Any) -> Array:
    """Lanes at and beyond the count are 0 and their memory is not touched."""
    used, dtype = bounded(count, result.lanes), np.dtype(numpy_dtype(result))
    data = p.memory[place(p, used, dtype.itemsize)].view(dtype)
    if result.lanes == 1:
        return np.asarray(data[0])
    out = np.zeros(result.lanes, dtype)
    out[:used] = data
    return out


def count_mask(b: Builder, count: str, lanes: int) -> str:
    """A mask whose first `count` lanes are true: the top bits of all-ones shifted down, as an integer's bits."""
    width = max(lanes, 8)
    short = b.value(f"icmp slt i64 {count}, {lanes}")
    capped = b.value(f"select i1 {short}, i64 {count}, i64 {lanes}")
    some = b.value(f"icmp sgt i64 {capped}, 0")
    unused = b.value(f"sub i64 {lanes}, {capped}")
    lanes_only = (1 << lanes) - 1
    amount = unused if width == 64 else b.value(f"{'trunc' if width < 64 else 'zext'} i64 {unused} to i{width}")
    full = b.value(f"lshr i{width} {lanes_only}, {amount}")
    bits = b.value(f"select i1 {some}, i{width} {full}, i{width} 0")
    if width == lanes:
        return b.value(f"bitcast i{width} {bits} to <{lanes} x i1>")
    small = b.value(f"trunc i{width} {bits} to i{lanes}")
    return b.value(f"bitcast i{lanes} {small} to <{lanes} x i1>")


def lower_load(b: Builder, result: Kind, p: Arg, kind: Any, count: Any) -> str:
    text, align = llvm_type(result), result.bits // 8
    if not isinstance(count, Arg):
        return b.value(f"load {text}, ptr {p.text}, align {align}")
    if "masked" in b.target.features:
        return masked_load(b, result, p.text, count.text)
    # Without cheap masks: the whole vector where all lanes count, else the masked form.
    slot, (full, part, done) = b.alloca(text), (b.fresh("load") for _ in range(3))
    b.branch_if(b.value(f"icmp sge i64 {count.text}, {result.lanes}"), full, part)
    b.label(full)
    b.line(f"store {text} {b.value(f'load {text}, ptr {p.text}, align {align}')}, ptr {slot}")
    b.branch(done)
    b.label(part)
    b.line(f"store {text} {masked_load(b, result, p.text, count.text)}, ptr {slot}")
    b.branch(done)
    b.label(done)
    return b.value(f"load {text}, ptr {slot}")


def masked_load(b: Builder, result: Kind, pointer: str, count: str) -> str:
    flags, zero = count_mask(b, count, result.lanes), constant(result, 0)
    text = llvm_type(result)
    return b.intrinsic(
        f"llvm.masked.load.{overload(result)}.p0",
        text,
        ("ptr", pointer),
        ("i32", str(result.bits // 8)),
        (f"<{result.lanes} x i1>", flags),
        (text, zero),
    )


load = define(
    "load",
    "the element at p, or lanes of type T from there; with `count`, later lanes are 0 and not read",
    "p T count",
    sign_load,
    reference_load,
    lower_load,
    required=1,
    group="memory",
)


def sign_store(operands: Sequence[Operand]) -> Signature:
    pointer, value, count = need_pointer(operands[0]), operands[1], operands[2]
    if isinstance(value, Static):
        if not literal_fits(value.value, pointer.element):
            raise OperandError(f"the literal {value.value!r} does not fit {pointer.element.name}")
        value = pointer.element
    if value.scalar is not pointer.element.scalar:
        raise OperandError(f"{pointer.name} holds no {value.name}; convert it to {pointer.element.name} first")
    return Signature((pointer, value, sign_count(count, value)), None)


def reference_store(result: Any, p: PointerValue, x: Any, count: Any) -> None:
    data = np.atleast_1d(np.asarray(x))
    used = bounded(count, len(data))
    p.memory[place(p, used, data.dtype.itemsize)] = data[:used].view(np.uint8)


def lower_store(b: Builder, result: Any, p: Arg, x: Arg, count: Any) -> str:
    text, align = llvm_type(x.kind), x.kind.bits // 8
    if not isinstance(count, Arg):
        b.line(f"store {text} {x.text}, ptr {p.text}, align {align}")
        return ""
    if "masked" in b.target.features:
        masked_store(b, p.text, x, count.text)
        return ""
    full, part, done = (b.fresh("store") for _ in range(3))
    b.branch_if(b.value(f"icmp sge i64 {count.text}, {x.kind.lanes}"), full, part)
    b.label(full)
    b.line(f"store {text} {x.text}, ptr {p.text}, align {align}")
    b.branch(done)
    b.label(part)
    masked_store(b, p.text, x, count.text)
    b.branch(done)
    b.label(done)
    return ""


def masked_store(b: Builder, pointer: str, x: Arg, count: str) -> None:
    flags, text = count_mask(b, count, x.kind.lanes), llvm_type(x.kind)
    b.intrinsic(
        f"llvm.masked.store.{overload(x.kind)}.p0",
        "void",
        (text, x.text),
        ("ptr", pointer),
        ("i32", str(x.kind.bits // 8)),
        (f"<{x.kind.lanes} x i1>", flags),
    )


store = define(
    "store",
    "write x at p; with `count`, only its first lanes",
    "p x count",
    sign_store,
    reference_store,
    lower_store,
    required=2,
    group="memory",
)


def sign_stream(operands: Sequence[Operand]) -> Signature:
    signature = sign_store([*operands, Static(None)])
    return Signature(signature.operands[:2], None)


def reference_stream(result: Any, p: PointerValue, x: Any) -> None:
    reference_store(result, p, x, None)


def lower_stream(b: Builder, result: Any, p: Arg, x: Arg) -> str:
    size = x.kind.bits // 8 * x.kind.lanes
    b.line(f"store {llvm_type(x.kind)} {x.text}, ptr {p.text}, align {size}, !nontemporal !{{i32 1}}")
    return ""


stream = define(
    "stream",
    "write the vector x past the caches at p, a multiple of its size; for memory that is not looked at soon",
    "p x",
    sign_stream,
    reference_stream,
    lower_stream,
    group="memory",
)


# ---------------------------------------------------------------- gather, prefetch


def sign_gather(operands: Sequence[Operand]) -> Signature:
    pointer, index = need_pointer(operands[0]), need_value(operands[1], "iu", "the index")
    if pointer.element.lanes != 1 or index.bits not in (32, 64):
        raise OperandError("gather takes a pointer to scalars and 32- or 64-bit indices")
    flag = operands[2]
    if (
        (flag.value is not None)
        if isinstance(flag, Static)
        else (flag is not vector(bool1, index.lanes) or index.lanes == 1)
    ):
        raise OperandError("the mask of gather must be a mask of as many lanes as the index")
    return Signature((pointer, index, None if isinstance(flag, Static) else flag), vector(pointer.element, index.lanes))


def reference_gather(result: Kind, p: PointerValue, index: Any, flags: Any) -> Array:
    """p[index] lane by lane; lanes whose mask is false are 0 and not read."""
    dtype = np.dtype(numpy_dtype(result))
    out = np.zeros(result.lanes, dtype)
    used = np.ones(result.lanes, bool) if flags is None else flags
    for lane, (position, on) in enumerate(zip(np.atleast_1d(index), np.atleast_1d(used), strict=True)):
        if on:
            moved = type(p).at(p.memory, p.offset + int(position) * dtype.itemsize)
            out[lane] = p.memory[place(moved, 1, dtype.itemsize)].view(dtype)[0]
    return out if result.lanes > 1 else out[0]


def lower_gather(b: Builder, result: Kind, p: Arg, index: Arg, flags: Any) -> str:
    lanes, element = result.lanes, llvm_type(result.scalar)
    wide = index.text
    if index.kind.bits == 32:
        name = "sext" if index.kind.kind == "i" else "zext"
        wide = b.value(f"{name} {llvm_type(index.kind)} {index.text} to {llvm_type(vector(i64, lanes))}")
    if lanes == 1:
        address = b.value(f"getelementptr {element}, ptr {p.text}, i64 {wide}")
        return b.value(f"load {element}, ptr {address}, align {result.bits // 8}")
    addresses = b.value(f"getelementptr {element}, ptr {p.text}, {llvm_type(vector(i64, lanes))} {wide}")
    on = flags.text if isinstance(flags, Arg) else constant(vector(bool1, lanes), True)
    return b.intrinsic(
        f"llvm.masked.gather.{overload(result)}.v{lanes}p0",
        llvm_type(result),
        (f"<{lanes} x ptr>", addresses),
        ("i32", str(result.bits // 8)),
        (f"<{lanes} x i1>", on),
        (llvm_type(result), constant(result, 0)),
    )


gather = define(
    "gather",
    "p[index] for each lane of an index; lanes whose mask is false are 0 and not read",
    "p index mask",
    sign_gather,
    reference_gather,
    lower_gather,
    required=2,
    group="memory",
)


def sign_prefetch(operands: Sequence[Operand]) -> Signature:
    level = need_static(operands[1], "the cache")
    if level not in (None, 1, 2, 3):
        raise OperandError(f"prefetch brings a line into cache 1, 2 or 3, not {level!r}")
    return Signature((need_pointer(operands[0]), None), None)


def lower_prefetch(b: Builder, result: Any, p: Arg, level: int | None) -> str:
    locality = 4 - (level or 1)  # as LLVM counts: 3 is nearest
    b.intrinsic("llvm.prefetch.p0", "void", ("ptr", p.text), ("i32", "0"), ("i32", str(locality)), ("i32", "1"))
    return ""


prefetch = define(
    "prefetch",
    "ask for the cache line at p, into cache 1 (or that of the constant `level`); never faults",
    "p level",
    sign_prefetch,
    lambda r, p, level: None,
    lower_prefetch,
    required=1,
    group="memory",
)


def sign_broadcast_4(operands: Sequence[Operand]) -> Signature:
    pointer = need_pointer(operands[0])
    if pointer.element.bits != 8 or pointer.element.lanes != 1:
        raise OperandError("broadcast_4 repeats four 8-bit values")
    return Signature((pointer,), vector(pointer.element, 64))


def reference_broadcast_4(result: Kind, p: PointerValue) -> Array:
    return np.tile(p.memory[place(p, 4, 1)].view(numpy_dtype(result)), 16)


def lower_broadcast_4(b: Builder, result: Kind, p: Arg) -> str:
    from glassformer.simd.types import i32

    four = b.value(f"load i32, ptr {p.text}, align 1")
    repeated = b.splat(vector(i32, 16), four)
    return b.value(f"bitcast <16 x i32> {repeated} to {llvm_type(result)}")


broadcast_4 = define(
    "broadcast_4",
    "the four 8-bit values at p, repeated over 64 lanes",
    "p",
    sign_broadcast_4,
    reference_broadcast_4,
    lower_broadcast_4,
    group="memory",
)

__all__ = ["ReferenceFault", "broadcast_4", "cast", "gather", "load", "offset", "prefetch", "store", "stream"]
