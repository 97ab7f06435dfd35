"""The dot product of bf16 pairs, by the rules of the x86 instruction vdpbf16ps on every machine.

Those rules (Intel's manual, volume 2) are its own: of each pair the product with the odd index comes first, then the
even one, each added by a fused multiply-add that rounds to nearest even; subnormal numbers count as 0 of their sign,
on the way in and out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glassformer.simd.builder import Builder, constant, llvm_type
from glassformer.simd.errors import OperandError
from glassformer.simd.ops_convert import widen_bf16
from glassformer.simd.ops_dot import chunked
from glassformer.simd.ops_fma import fma
from glassformer.simd.table import Arg, Kind, Operand, Signature, Static, define
from glassformer.simd.target import load_llvm
from glassformer.simd.types import Array, bf16, bool1, f32, u32, vector

SIGN, EXPONENT, UPPER = 1 << 31, 0xFF << 23, 0xFFFF << 16  # bits of an f32; the upper half is a bf16


def sign_dot_bf16(operands: Sequence[Operand]) -> Signature:
    total, x, y = operands
    if isinstance(total, Static) or total.scalar is not f32 or not 4 <= total.lanes <= 32:
        raise OperandError("the first operand of dot_bf16 is a vector of f32, such as f32x16")
    pairs: Kind = vector(bf16, total.lanes * 2)
    if x is not pairs or y is not pairs:
        raise OperandError(f"dot_bf16 with {total.name} takes {pairs.name} twice")
    return Signature((total, pairs, pairs), total)


def flushed(x: Array) -> Array:
    """Subnormal numbers as 0 of their sign."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return np.where(bits & EXPONENT == 0, bits & SIGN, bits).astype(np.uint32).view(np.float32)


def reference_dot_bf16(result: Kind, total: Array, x: Array, y: Array) -> Array:
    left, right = flushed(widen_bf16(x)), flushed(widen_bf16(y))
    out = flushed(total)
    with np.errstate(all="ignore"):
        for side in (1, 0):
            out = flushed(fma.reference(result, left[side::2], right[side::2], out))
    return out


def lower_dot_bf16(b: Builder, result: Kind, total: Arg, x: Arg, y: Arg) -> str:
    """Halves of 32 bits are f32 numbers once moved to the upper side."""
    bits, floats = llvm_type(vector(u32, result.lanes)), llvm_type(result)
    number = vector(u32, result.lanes)
    words = [b.value(f"bitcast {llvm_type(a.kind)} {a.text} to {bits}") for a in (x, y)]
    out = flush(b, result, b.value(f"bitcast {floats} {total.text} to {bits}"))
    sides = (f"and {bits} {{}}, {constant(number, UPPER)}", f"shl {bits} {{}}, {constant(number, 16)}")  # odd, even
    for side in sides:
        p, q = (flush(b, result, b.value(side.format(word))) for word in words)
        made = fma.lowering(b.target.features)(b, result, Arg(result, p), Arg(result, q), Arg(result, out))
        out = flush(b, result, b.value(f"bitcast {floats} {made} to {bits}"))
    return out


def flush(b: Builder, result: Kind, bits: str) -> str:
    """Numbers from their bits, subnormal ones as 0 of their sign."""
    number = vector(u32, result.lanes)
    kind, flags = llvm_type(number), llvm_type(vector(bool1, result.lanes))
    exponent = b.value(f"and {kind} {bits}, {constant(number, EXPONENT)}")
    small = b.value(f"icmp eq {kind} {exponent}, {constant(number, 0)}")
    zero = b.value(f"and {kind} {bits}, {constant(number, SIGN)}")
    chosen = b.value(f"select {flags} {small}, {kind} {zero}, {kind} {bits}")
    return b.value(f"bitcast {kind} {chosen} to {llvm_type(result)}")


def lower_dot_bf16_x86(b: Builder, result: Kind, total: Arg, x: Arg, y: Arg) -> str:
    """vdpbf16ps, 512 bits at a time (256 or 128 for narrower operands)."""
    lanes = min(result.lanes, 16)
    kind, given = f"<{lanes} x float>", f"<{lanes * 2} x i16>"
    # LLVM takes the pairs as such from version 16 on, before that as lanes of i32.
    taken = f"<{lanes * 2} x bfloat>" if load_llvm().llvm_version_info[0] >= 16 else f"<{lanes} x i32>"

    def one(t: str, p: str, q: str) -> str:
        p, q = (b.value(f"bitcast {given} {v} to {taken}") for v in (p, q))
        return b.intrinsic(f"llvm.x86.avx512bf16.dpbf16ps.{lanes * 32}", kind, (kind, t), (taken, p), (taken, q))

    return chunked(b, result, total, x, y, 16, one)


dot_bf16 = define(
    "dot_bf16",
    "each f32 lane plus its two bf16 x bf16 products, the odd one first, by fma; subnormals count as 0",
    "total x y",
    sign_dot_bf16,
    reference_dot_bf16,
    lower_dot_bf16,
    group="lanes",
    overrides={"bf16": lower_dot_bf16_x86},
)

__all__ = ["dot_bf16"]
