"""Operations that change a value's type: `T(x)`, `saturate(x, T)`, `bitcast(x, T)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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
    integer_range,
    literal_fits,
    need_type,
    need_value,
    with_lanes,
)
from glassformer.simd.types import (
    OPERATORS,
    Array,
    PointerValue,
    Value,
    bf16,
    bool1,
    byte_size,
    f16,
    f32,
    i32,
    numpy_dtype,
    open_lanes,
    u16,
    u32,
    vector,
)


def resolve_lanes(source: Kind, goal: Kind) -> Kind:
    """The type that T(x) makes: a scalar fills all lanes, "N lanes" means as many as x has."""
    if goal.lanes and source.lanes not in (1, goal.lanes):
        raise OperandError(f"{source.name} has {source.lanes} lanes, {goal.name} has {goal.lanes}")
    made: Kind = goal if goal.lanes else with_lanes(goal, source.lanes)
    return made


def sign_convert(operands: Sequence[Operand]) -> Signature:
    goal = need_type(operands[1], "the type converted to")
    if isinstance(operands[0], Static):
        if not literal_fits(operands[0].value, goal.scalar):
            raise OperandError(f"the literal {operands[0].value!r} does not fit {goal.scalar.name}")
        return Signature((goal, None), goal)
    source = need_value(operands[0], "iufbhs", "the operand of a conversion")
    result = resolve_lanes(source, goal)
    if result.kind == "p":
        raise OperandError("a pointer is no number; see a pointer as another type with cast(p, T)")
    if (source.kind in "hs" and result.scalar not in (f32, source.scalar)) or (
        result.kind in "hs" and source.scalar not in (f32, result.scalar)
    ):
        raise OperandError(f"{source.name} and {result.name} convert by way of f32: write {result.name}(f32...(x))")
    if result.kind == "b" and source.kind != "b":
        raise OperandError("a mask comes from a comparison: write x != 0")
    return Signature((source, None), result)


def reference_convert(result: Kind, x: Any, goal: Any, *, source: Kind) -> Array:
    """Integers wrap, floats round to nearest even, float to integer drops the fraction and must fit."""
    data = np.asarray(x)
    data = widen_bf16(data) if source.scalar is bf16 and result.scalar is f32 else convert_data(data, result)
    return np.full(result.lanes, data) if result.lanes > 1 and data.ndim == 0 else data


def convert_data(x: Array, result: Kind) -> Array:
    """Convert lanes, those of bf16 excepted; its data is uint16."""
    dtype = np.dtype(numpy_dtype(result))
    if result.scalar is bf16:
        return x if x.dtype == np.uint16 else round_to_bf16(x)
    if x.dtype.kind == "f" and dtype.kind in "iu":
        low, high = integer_range(result)
        whole = np.trunc(x.astype(np.float64))
        if not np.all((whole >= low) & (whole <= high)):
            raise OperandError(f"{x} does not fit {result.name}; use saturate")
        return whole.astype(dtype)
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def round_to_bf16(x: Array) -> Array:
    """f32 to bf16, to nearest even; a NaN stays one."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    with np.errstate(all="ignore"):
        rounded = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), (bits >> 16).astype(np.uint16) | np.uint16(0x40), rounded).astype(np.uint16)


def widen_bf16(x: Array) -> Array:
    """bf16 (as uint16) to f32, exactly."""
    return (np.asarray(x).astype(np.uint32) << 16).view(np.float32)


def lower_convert(b: Builder, result: Kind, x: Arg, goal: Any) -> str:
    scalar_goal = with_lanes(result, x.kind.lanes)
    text = convert_lanes(b, x, scalar_goal)
    return text if x.kind.lanes == result.lanes else b.splat(result, text)


def convert_lanes(b: Builder, x: Arg, goal: Kind) -> str:
    """Convert between types with as many lanes."""
    source, from_type, to_type = x.kind, llvm_type(x.kind), llvm_type(goal)
    if source.scalar is goal.scalar:
        return x.text
    if source.kind in "hs" or goal.kind in "hs":
        return convert_half(b, x, goal)
    if source.kind == "f" and goal.kind == "f":
        return b.value(f"{'fpext' if goal.bits > source.bits else 'fptrunc'} {from_type} {x.text} to {to_type}")
    if source.kind == "f":
        return b.value(f"{'fptosi' if goal.kind == 'i' else 'fptoui'} {from_type} {x.text} to {to_type}")
    if goal.kind == "f":
        return b.value(f"{'sitofp' if source.kind == 'i' else 'uitofp'} {from_type} {x.text} to {to_type}")
    if goal.bits == source.bits:
        return x.text
    name = "trunc" if goal.bits < source.bits else "sext" if source.kind == "i" else "zext"
    return b.value(f"{name} {from_type} {x.text} to {to_type}")


def convert_half(b: Builder, x: Arg, goal: Kind) -> str:
    """Between f32 and the 16-bit storage types."""
    native = "f16c" in b.target.features
    half = llvm_type(vector(u16, goal.lanes)).replace("i16", "half")
    if x.kind.scalar is bf16:
        return widen(b, x, goal)
    if goal.scalar is bf16:
        return narrow_bf16(b, x, goal)
    if x.kind.scalar is f16:
        if not native:
            return widen_f16(b, x, goal)
        same = b.value(f"bitcast {llvm_type(x.kind)} {x.text} to {half}")
        return b.value(f"fpext {half} {same} to {llvm_type(goal)}")
    if not native:
        return narrow_f16(b, x, goal)
    small = b.value(f"fptrunc {llvm_type(x.kind)} {x.text} to {half}")
    return b.value(f"bitcast {half} {small} to {llvm_type(goal)}")


def widen(b: Builder, x: Arg, goal: Kind) -> str:
    """bf16 to f32: the bits move up."""
    wide = llvm_type(vector(u32, goal.lanes))
    extended = b.value(f"zext {llvm_type(x.kind)} {x.text} to {wide}")
    moved = b.value(f"shl {wide} {extended}, {constant(vector(u32, goal.lanes), 16)}")
    return b.value(f"bitcast {wide} {moved} to {llvm_type(goal)}")


class Bits:
    """Integer arithmetic on the bits of f32 lanes, for the lowerings below."""

    def __init__(self, b: Builder, lanes: int) -> None:
        self.b, self.kind = b, vector(u32, lanes)
        self.type, self.flags, self.real = (
            llvm_type(self.kind),
            llvm_type(vector(bool1, lanes)),
            llvm_type(vector(f32, lanes)),
        )

    def op(self, name: str, x: str, y: str | int) -> str:
        return self.b.value(f"{name} {self.type} {x}, {constant(self.kind, y) if isinstance(y, int) else y}")

    def choose(self, flag: str, x: str | int, y: str | int) -> str:
        left, right = (constant(self.kind, v) if isinstance(v, int) else v for v in (x, y))
        return self.b.value(f"select {self.flags} {flag}, {self.type} {left}, {self.type} {right}")

    def cast(self, text: str, goal: str) -> str:
        source = self.type if goal == self.real else self.real
        return self.b.value(f"bitcast {source} {text} to {goal}")


def narrow_bf16(b: Builder, x: Arg, goal: Kind) -> str:
    """f32 to bf16, to nearest even, on the bits; a NaN keeps its top bits and is made quiet."""
    i = Bits(b, goal.lanes)
    bits = i.cast(x.text, i.type)
    top = i.op("lshr", bits, 16)
    up = i.op("add", i.op("and", top, 1), 0x7FFF)
    rounded = i.op("lshr", i.op("add", bits, up), 16)
    unordered = b.value(f"fcmp uno {i.real} {x.text}, {x.text}")
    chosen = i.choose(unordered, i.op("or", top, 0x40), rounded)
    return b.value(f"trunc {i.type} {chosen} to {llvm_type(goal)}")


def widen_f16(b: Builder, x: Arg, goal: Kind) -> str:
    """f16 to f32 without the instruction: move the bits, then scale by 2^112, which is exact even for subnormals."""
    i = Bits(b, goal.lanes)
    bits = b.value(f"zext {llvm_type(x.kind)} {x.text} to {i.type}")
    magnitude = i.op("and", bits, 0x7FFF)
    moved = i.cast(i.op("shl", magnitude, 13), i.real)
    scaled = b.value(f"fmul {i.real} {moved}, {constant(vector(f32, goal.lanes), 2.0**112)}")
    special = b.value(f"icmp uge {i.type} {magnitude}, {constant(i.kind, 0x7C00)}")
    infinite = i.op("or", i.op("shl", magnitude, 13), 0x7F800000)
    value = i.choose(special, infinite, i.cast(scaled, i.type))
    sign = i.op("shl", i.op("and", bits, 0x8000), 16)
    return i.cast(i.op("or", value, sign), i.real)


def narrow_f16(b: Builder, x: Arg, goal: Kind) -> str:
    """f32 to f16 to nearest even without the instruction.

    Normal results round on the bits; subnormal ones by adding 0.5, whose last place is f16's smallest step.
    """
    i = Bits(b, goal.lanes)
    bits = i.cast(x.text, i.type)
    magnitude = i.op("and", bits, 0x7FFFFFFF)
    up = i.op("add", i.op("and", i.op("lshr", magnitude, 13), 1), 0xFFF)
    rebased = i.op("sub", i.op("add", magnitude, up), 112 << 23)
    normal = i.op("lshr", rebased, 13)
    half = constant(vector(f32, goal.lanes), 0.5)
    shifted = b.value(f"fadd {i.real} {i.cast(magnitude, i.real)}, {half}")
    subnormal = i.op("sub", i.cast(shifted, i.type), 0x3F000000)
    small = b.value(f"icmp ult {i.type} {magnitude}, {constant(i.kind, 113 << 23)}")
    finite = i.choose(small, subnormal, normal)
    over = b.value(f"icmp uge {i.type} {magnitude}, {constant(i.kind, 0x477FF000)}")
    nan = b.value(f"icmp ugt {i.type} {magnitude}, {constant(i.kind, 0x7F800000)}")
    payload = i.op("or", i.op("and", i.op("lshr", magnitude, 13), 0x3FF), 0x7E00)
    value = i.choose(nan, payload, i.choose(over, 0x7C00, finite))
    sign = i.op("and", i.op("lshr", bits, 16), 0x8000)
    return b.value(f"trunc {i.type} {i.op('or', value, sign)} to {llvm_type(goal)}")


convert = define(
    "convert",
    "`T(x)`: x as type T. Integers wrap, floats round to nearest even, float to integer drops the "
    "fraction (the value must fit), a scalar fills all lanes",
    "x T",
    sign_convert,
    reference_convert,
    lower_convert,
    group="conversion",
    told_source=True,
)


def sign_saturate(operands: Sequence[Operand]) -> Signature:
    source, goal = need_value(operands[0], "iuf"), need_type(operands[1], "the type converted to")
    if goal.kind not in "iu":
        raise OperandError("saturate converts to integers")
    if goal.lanes not in (0, 1, source.lanes):
        raise OperandError(f"{source.name} has {source.lanes} lanes, {goal.name} has {goal.lanes}")
    return Signature((source, None), with_lanes(goal, source.lanes))


def reference_saturate(result: Kind, x: Any, goal: Any) -> Array:
    """Out of range becomes the nearest end; NaN becomes 0."""
    low, high = integer_range(result)
    flat = [0 if v != v else low if v < low else high if v > high else int(v) for v in np.asarray(x).ravel().tolist()]
    return np.array(flat, dtype=numpy_dtype(result)).reshape(np.shape(x))


def saturate_narrow(b: Builder, result: Kind, x: Arg) -> str:
    """Floats to 8 or 16 bits: clipped as floats, which hold the ends exactly, then by way of i32 as processors do."""
    kind, flags, wide = llvm_type(x.kind), llvm_type(vector(bool1, result.lanes)), vector(i32, result.lanes)
    ends = [constant(x.kind, float(end)) for end in integer_range(result)]
    ordered = b.value(f"fcmp ord {kind} {x.text}, {x.text}")
    text = b.value(f"select {flags} {ordered}, {kind} {x.text}, {kind} {constant(x.kind, 0.0)}")
    for test, end in zip(("ogt", "olt"), ends, strict=True):
        inside = b.value(f"fcmp {test} {kind} {text}, {end}")
        text = b.value(f"select {flags} {inside}, {kind} {text}, {kind} {end}")
    whole = b.value(f"fptosi {kind} {text} to {llvm_type(wide)}")
    return convert_lanes(b, Arg(wide, whole), result)


def saturate_word(b: Builder, result: Kind, x: Arg) -> str:
    """f32 to i32: what fits is converted, the ends are put in afterwards, for f32 does not hold the upper one.

    LLVM's own operation for this goes lane by lane on x86.
    """
    kind, flags, made = llvm_type(x.kind), llvm_type(vector(bool1, result.lanes)), llvm_type(result)
    low, high = integer_range(result)
    ends = constant(x.kind, float(low)), constant(x.kind, float(high + 1))
    below = b.value(f"fcmp olt {kind} {x.text}, {ends[0]}")
    fits = b.value(f"fcmp olt {kind} {x.text}, {ends[1]}")
    above = b.value(f"fcmp oge {kind} {x.text}, {ends[1]}")
    inside = b.value(f"select {flags} {below}, {flags} {constant(vector(bool1, result.lanes), 0)}, {flags} {fits}")
    text = b.value(f"select {flags} {inside}, {kind} {x.text}, {kind} {constant(x.kind, 0.0)}")
    whole = b.value(f"fptosi {kind} {text} to {made}")
    whole = b.value(f"select {flags} {above}, {made} {constant(result, high)}, {made} {whole}")
    return b.value(f"select {flags} {below}, {made} {constant(result, low)}, {made} {whole}")


def lower_saturate(b: Builder, result: Kind, x: Arg, goal: Any) -> str:
    source, from_type = x.kind, llvm_type(x.kind)
    if source.kind == "f" and result.bits < 32:
        return saturate_narrow(b, result, x)
    if source.kind == "f" and (source.bits, result.bits, result.kind) == (32, 32, "i"):
        return saturate_word(b, result, x)
    if source.kind == "f":
        name = f"llvm.fpto{'si' if result.kind == 'i' else 'ui'}.sat.{overload(result)}.{overload(source)}"
        return b.intrinsic(name, llvm_type(result), (from_type, x.text))
    (low, high), (least, most) = integer_range(result), integer_range(source)
    text, prefix = x.text, "s" if source.kind == "i" else "u"
    if low > least:
        text = b.intrinsic(
            f"llvm.{prefix}max.{overload(source)}", from_type, (from_type, text), (from_type, constant(source, low))
        )
    if high < most:
        text = b.intrinsic(
            f"llvm.{prefix}min.{overload(source)}", from_type, (from_type, text), (from_type, constant(source, high))
        )
    return convert_lanes(b, Arg(source, text), result)


saturate = define(
    "saturate",
    "x as integer type T, values out of range becoming its nearest end (NaN: 0)",
    "x T",
    sign_saturate,
    reference_saturate,
    lower_saturate,
    group="conversion",
)


def sign_bitcast(operands: Sequence[Operand]) -> Signature:
    source, goal = need_value(operands[0], "iufhs"), need_type(operands[1])
    goal = with_lanes(goal, source.lanes) if goal.lanes == 0 else goal
    if goal.kind not in "iufhs" or byte_size(source) != byte_size(goal):
        raise OperandError(f"{source.name} has {byte_size(source)} bytes, {goal.name} {byte_size(goal)}: no bitcast")
    return Signature((source, None), goal)


def reference_bitcast(result: Kind, x: Any, goal: Any) -> Array:
    """The same bytes, read as another type."""
    data = np.atleast_1d(np.ascontiguousarray(x)).view(numpy_dtype(result))
    return data if result.lanes > 1 else data[0]


def lower_bitcast(b: Builder, result: Kind, x: Arg, goal: Any) -> str:
    if llvm_type(x.kind) == llvm_type(result):
        return x.text
    return b.value(f"bitcast {llvm_type(x.kind)} {x.text} to {llvm_type(result)}")


bitcast = define(
    "bitcast",
    "the same bits as type T, which has as many bytes",
    "x T",
    sign_bitcast,
    reference_bitcast,
    lower_bitcast,
    group="conversion",
)


def construct(kind: Kind, value: Any) -> Array:
    """Reference mode's `T(value)`: the data of the new value."""
    if isinstance(value, PointerValue):
        raise OperandError("a pointer is no number")
    follows = isinstance(value, Value) and value.lanes > 1
    goal = kind if kind.lanes or follows else vector(kind.scalar, open_lanes())
    made = convert(value, goal)
    return made.data if isinstance(made, Value) else np.asarray(made)


OPERATORS["construct"] = construct

__all__ = ["bitcast", "convert", "saturate"]
