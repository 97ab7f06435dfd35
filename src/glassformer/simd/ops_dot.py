"""The integer dot product, whose instruction every processor has in a form of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from glassformer.simd.builder import Builder, constants, llvm_type
from glassformer.simd.errors import OperandError
from glassformer.simd.ops_lanes import lower_shuffle, take
from glassformer.simd.table import Arg, Kind, Operand, Signature, Static, define, with_lanes
from glassformer.simd.target import load_llvm
from glassformer.simd.types import Array, i8, i32, u8, vector


def sign_dot(operands: Sequence[Operand]) -> Signature:
    total, unsigned, signed = operands
    if isinstance(total, Static) or total.scalar is not i32 or total.lanes < 4:
        raise OperandError("the first operand of dot_u8_i8 is a vector of i32, such as i32x16")
    lanes = total.lanes * 4
    if unsigned is not vector(u8, lanes) or signed is not vector(i8, lanes):
        raise OperandError(f"dot_u8_i8 with {total.name} takes u8x{lanes} and i8x{lanes}")
    return Signature((total, vector(u8, lanes), vector(i8, lanes)), total)


def reference_dot(result: Kind, total: Array, x: Array, y: Array) -> Array:
    products = x.astype(np.int32) * y.astype(np.int32)
    with np.errstate(all="ignore"):
        return np.asarray(total + products.reshape(-1, 4).sum(axis=1), np.int32)


def lower_dot(b: Builder, result: Kind, total: Arg, x: Arg, y: Arg) -> str:
    """Widening multiplies: the four products of a lane are exact in 32 bits on every machine."""
    lanes, wide = result.lanes * 4, f"<{result.lanes * 4} x i32>"
    left = b.value(f"zext <{lanes} x i8> {x.text} to {wide}")
    right = b.value(f"sext <{lanes} x i8> {y.text} to {wide}")
    products = Arg(vector(i32, lanes), b.value(f"mul {wide} {left}, {right}"))
    kind, out = llvm_type(result), total.text
    for step in range(4):
        every = lower_shuffle(b, result, products, list(range(step, lanes, 4)), None)
        out = b.value(f"add {kind} {out}, {every}")
    return out


def chunked(
    b: Builder, result: Kind, total: Arg, x: Arg, y: Arg, lanes: int, one: Callable[[str, str, str], str]
) -> str:
    """Apply an instruction of fixed width to each part of wider operands and join the parts again."""
    if result.lanes <= lanes:
        return one(total.text, x.text, y.text)
    half = with_lanes(result, result.lanes // 2)
    parts = []
    for side in (0, 1):
        t, p, q = (take_half(b, a, side) for a in (total, x, y))
        parts.append(Arg(half, chunked(b, half, t, p, q, lanes, one)))
    return lower_shuffle(b, result, parts[0], list(range(result.lanes)), parts[1])


def take_half(b: Builder, x: Arg, side: int) -> Arg:
    """The lower (0) or upper (1) half of the lanes."""
    half = with_lanes(x.kind, x.kind.lanes // 2)
    return Arg(half, take(b, x, side * half.lanes, half))


def lower_dot_vnni(b: Builder, result: Kind, total: Arg, x: Arg, y: Arg) -> str:
    """vpdpbusd, 512 bits at a time (256 or 128 for narrower operands)."""
    lanes = min(result.lanes, 16)
    kind = f"<{lanes} x i32>"
    # LLVM takes the bytes as such from version 22 on, before that as lanes of i32.
    given = f"<{lanes * 4} x i8>"
    taken = given if load_llvm().llvm_version_info[0] >= 22 else kind

    def one(t: str, p: str, q: str) -> str:
        if taken is kind:
            p, q = (b.value(f"bitcast {given} {v} to {kind}") for v in (p, q))
        return b.intrinsic(f"llvm.x86.avx512.vpdpbusd.{lanes * 32}", kind, (kind, t), (taken, p), (taken, q))

    return chunked(b, result, total, x, y, 16, one)


def lower_dot_arm(b: Builder, result: Kind, total: Arg, x: Arg, y: Arg) -> str:
    """usdot, 128 bits at a time."""

    def one(t: str, p: str, q: str) -> str:
        return b.intrinsic(
            "llvm.aarch64.neon.usdot.v4i32.v16i8", "<4 x i32>", ("<4 x i32>", t), ("<16 x i8>", p), ("<16 x i8>", q)
        )

    return chunked(b, result, total, x, y, 4, one)


def lower_dot_x86(b: Builder, result: Kind, total: Arg, x: Arg, y: Arg) -> str:
    """vpmaddwd, 128 bits at a time."""
    return chunked(b, result, total, x, y, 4, lambda t, p, q: multiply_pairs(b, 4, t, p, q))


def lower_dot_avx2(b: Builder, result: Kind, total: Arg, x: Arg, y: Arg) -> str:
    """vpmaddwd, 256 bits at a time (128 for narrower operands)."""
    lanes = min(result.lanes, 8)
    return chunked(b, result, total, x, y, 8, lambda t, p, q: multiply_pairs(b, lanes, t, p, q))


def multiply_pairs(b: Builder, lanes: int, t: str, p: str, q: str) -> str:
    """Even and odd bytes as 16-bit pairs through vpmaddwd: exact, where vpmaddubsw would saturate."""
    kind, pairs = f"<{lanes} x i32>", f"<{lanes * 2} x i16>"
    px, qx = (b.value(f"bitcast <{lanes * 4} x i8> {v} to {pairs}") for v in (p, q))
    low, eight = constants("i16", [255] * lanes * 2), constants("i16", [8] * lanes * 2)
    even_p, odd_p = b.value(f"and {pairs} {px}, {low}"), b.value(f"lshr {pairs} {px}, {eight}")
    even_q = b.value(f"ashr {pairs} {b.value(f'shl {pairs} {qx}, {eight}')}, {eight}")
    odd_q = b.value(f"ashr {pairs} {qx}, {eight}")
    for left, right in ((even_p, even_q), (odd_p, odd_q)):
        both = b.intrinsic(f"llvm.x86.{'avx2' if lanes == 8 else 'sse2'}.pmadd.wd", kind, (pairs, left), (pairs, right))
        t = b.value(f"add {kind} {t}, {both}")
    return t


dot_u8_i8 = define(
    "dot_u8_i8",
    "each i32 lane plus the exact sum of its four u8 x i8 products",
    "total x y",
    sign_dot,
    reference_dot,
    lower_dot,
    group="lanes",
    overrides={"vnni": lower_dot_vnni, "avx2": lower_dot_avx2, "x86": lower_dot_x86, "i8mm": lower_dot_arm},
)

__all__ = ["dot_u8_i8"]
