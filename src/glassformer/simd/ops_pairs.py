"""Products and sums of neighbouring lanes: of these an integer dot product is made where it has no instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glassformer.simd.builder import Builder, constant, llvm_type
from glassformer.simd.errors import OperandError
from glassformer.simd.ops_dot import take_half
from glassformer.simd.ops_lanes import lower_shuffle
from glassformer.simd.table import Arg, Kind, Lowering, Operand, Signature, Static, define, with_lanes
from glassformer.simd.types import Array, bool1, byte_size, i8, i16, i32, u8, vector

LOW, HIGH = -(1 << 15), (1 << 15) - 1  # of an i16


def instruction(names: Mapping[int, str]) -> Lowering:
    """The intrinsic for the operands' size in bytes, that of the largest size on the parts of what is larger."""

    def lower(b: Builder, result: Kind, *operands: Arg) -> str:
        size = byte_size(operands[0].kind)
        if size in names:
            return b.intrinsic(names[size], llvm_type(result), *((llvm_type(a.kind), a.text) for a in operands))
        half = with_lanes(result, result.lanes // 2)
        parts = [Arg(half, lower(b, half, *(take_half(b, a, side) for a in operands))) for side in (0, 1)]
        return lower_shuffle(b, result, parts[0], list(range(result.lanes)), parts[1])

    return lower


def extended(b: Builder, x: Arg, wide: Kind) -> Arg:
    """An integer vector with wider lanes."""
    name = "sext" if x.kind.kind == "i" else "zext"
    return Arg(wide, b.value(f"{name} {llvm_type(x.kind)} {x.text} to {llvm_type(wide)}"))


def sum_neighbours(b: Builder, x: Arg) -> Arg:
    """Even lanes plus odd lanes."""
    half = with_lanes(x.kind, x.kind.lanes // 2)
    even, odd = (lower_shuffle(b, half, x, list(range(side, x.kind.lanes, 2)), None) for side in (0, 1))
    return Arg(half, b.value(f"add {llvm_type(half)} {even}, {odd}"))


# ---------------------------------------------------------------- multiply_pairs


def sign_multiply_pairs(operands: Sequence[Operand]) -> Signature:
    x, y = operands
    if isinstance(x, Static) or x.scalar is not u8 or x.lanes < 16:
        raise OperandError("the first operand of multiply_pairs is a vector of u8, such as u8x64")
    signed: Kind = vector(i8, x.lanes)
    if y is not signed:
        raise OperandError(f"multiply_pairs with {x.name} takes {signed.name}")
    return Signature((x, signed), vector(i16, x.lanes // 2))


def reference_multiply_pairs(result: Kind, x: Array, y: Array) -> Array:
    sums = (x.astype(np.int32) * y.astype(np.int32)).reshape(-1, 2).sum(axis=1)
    return np.asarray(np.clip(sums, LOW, HIGH), np.int16)


def lower_multiply_pairs(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
    """In 32 bits, then cut to 16."""
    wide = vector(i32, x.kind.lanes)
    left, right = extended(b, x, wide), extended(b, y, wide)
    total = sum_neighbours(b, Arg(wide, b.value(f"mul {llvm_type(wide)} {left.text}, {right.text}")))
    kind, text = llvm_type(total.kind), total.text
    for name, bound in (("smin", HIGH), ("smax", LOW)):
        limit = (kind, constant(total.kind, bound))
        text = b.intrinsic(f"llvm.{name}.v{result.lanes}i32", kind, (kind, text), limit)
    return b.value(f"trunc {kind} {text} to {llvm_type(result)}")


MULTIPLY = {16: "llvm.x86.ssse3.pmadd.ub.sw.128", 32: "llvm.x86.avx2.pmadd.ub.sw", 64: "llvm.x86.avx512.pmaddubs.w.512"}

multiply_pairs = define(
    "multiply_pairs",
    "for each two lanes the sum of their u8 x i8 products, as the nearest i16",
    "x y",
    sign_multiply_pairs,
    reference_multiply_pairs,
    lower_multiply_pairs,
    group="lanes",
    overrides={
        "avx512": instruction(MULTIPLY),
        "avx2": instruction({n: MULTIPLY[n] for n in (16, 32)}),
        "x86": instruction({16: MULTIPLY[16]}),
    },
)

# ---------------------------------------------------------------- add_pairs


def sign_add_pairs(operands: Sequence[Operand]) -> Signature:
    total, x = operands
    if isinstance(total, Static) or total.scalar is not i32 or total.lanes < 4:
        raise OperandError("the first operand of add_pairs is a vector of i32, such as i32x16")
    pairs: Kind = vector(i16, total.lanes * 2)
    if x is not pairs:
        raise OperandError(f"add_pairs with {total.name} takes {pairs.name}")
    return Signature((total, pairs), total)


def reference_add_pairs(result: Kind, total: Array, x: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(total + x.astype(np.int32).reshape(-1, 2).sum(axis=1), np.int32)


def lower_add_pairs(b: Builder, result: Kind, total: Arg, x: Arg) -> str:
    sums = sum_neighbours(b, extended(b, x, vector(i32, x.kind.lanes)))
    return b.value(f"add {llvm_type(result)} {total.text}, {sums.text}")


def add_pairs_by(names: Mapping[int, str]) -> Lowering:
    """Products with 1, which vpmaddwd sums by pairs."""
    multiply = instruction(names)

    def lower(b: Builder, result: Kind, total: Arg, x: Arg) -> str:
        sums = multiply(b, result, x, Arg(x.kind, constant(x.kind, 1)))
        return b.value(f"add {llvm_type(result)} {total.text}, {sums}")

    return lower


ADD = {16: "llvm.x86.sse2.pmadd.wd", 32: "llvm.x86.avx2.pmadd.wd", 64: "llvm.x86.avx512.pmaddw.d.512"}

add_pairs = define(
    "add_pairs",
    "each i32 lane plus the sum of two lanes of i16",
    "total x",
    sign_add_pairs,
    reference_add_pairs,
    lower_add_pairs,
    group="lanes",
    overrides={
        "avx512": add_pairs_by(ADD),
        "avx2": add_pairs_by({n: ADD[n] for n in (16, 32)}),
        "x86": add_pairs_by({16: ADD[16]}),
    },
)

# ---------------------------------------------------------------- apply_sign


def sign_apply_sign(operands: Sequence[Operand]) -> Signature:
    x, y = operands
    if isinstance(x, Static) or x.scalar is not i8 or x.lanes < 16:
        raise OperandError("the first operand of apply_sign is a vector of i8, such as i8x64")
    if y is not x:
        raise OperandError(f"apply_sign with {x.name} takes {x.name} twice")
    return Signature((x, x), x)


def reference_apply_sign(result: Kind, x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.where(y < 0, -x, np.where(y == 0, 0, x)).astype(np.int8)


def lower_apply_sign(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
    kind, flags, zero = llvm_type(result), llvm_type(vector(bool1, result.lanes)), constant(result, 0)
    negative, none = (b.value(f"icmp {test} {kind} {y.text}, {zero}") for test in ("slt", "eq"))
    opposite = b.value(f"sub {kind} {zero}, {x.text}")
    signed = b.value(f"select {flags} {negative}, {kind} {opposite}, {kind} {x.text}")
    return b.value(f"select {flags} {none}, {kind} {zero}, {kind} {signed}")


APPLY = {16: "llvm.x86.ssse3.psign.b.128", 32: "llvm.x86.avx2.psign.b"}

apply_sign = define(
    "apply_sign",
    "x where y is above 0, -x (which wraps) where it is below, else 0",
    "x y",
    sign_apply_sign,
    reference_apply_sign,
    lower_apply_sign,
    group="lanes",
    overrides={"avx2": instruction(APPLY), "x86": instruction({16: APPLY[16]})},
)

__all__ = ["add_pairs", "apply_sign", "multiply_pairs"]
