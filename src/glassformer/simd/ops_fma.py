"""Fused multiply-add: x * y + z rounded once, on machines without the instruction too."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from glassformer.simd.builder import Builder, constant, llvm_type
from glassformer.simd.ops_arithmetic import intrinsic
from glassformer.simd.table import Arg, Kind, define, elementwise
from glassformer.simd.types import Array, bool1, f64, i64, vector


def fma_reference(result: Kind, x: Any, y: Any, z: Any) -> Array:
    """x * y + z rounded once; f32 by way of a sum in f64 that is rounded to odd (Boldo & Melquiond, 2008)."""
    if result.bits == 64:
        return np.array([exact_fma(*v) for v in np.broadcast(x, y, z)]).reshape(np.shape(x))
    with np.errstate(all="ignore"):
        product, addend = np.float64(x) * np.float64(y), np.float64(z)
        total = np.asarray(product + addend)
        back = total - product
        error = (product - (total - back)) + (addend - back)
        bits = total.view(np.int64)
        toward = np.where((error > 0) == (total > 0), 1, -1)
        inexact = np.isfinite(error) & (error != 0) & (bits & 1 == 0)
        odd = np.where(inexact, bits + toward, bits).view(np.float64)
        return np.where(np.isfinite(total), odd, total).astype(np.float32)


def exact_fma(x: float, y: float, z: float) -> float:
    """One f64 fma in exact rational arithmetic."""
    if not (np.isfinite(x) and np.isfinite(y) and np.isfinite(z)):
        with np.errstate(all="ignore"):
            return float(z if np.isfinite(x) and np.isfinite(y) else x * y + z)
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    if exact == 0:
        return float(x * y + z)
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


def lower_fma(b: Builder, result: Kind, x: Arg, y: Arg, z: Arg) -> str:
    """Without the instruction: f32 by way of f64, the sum rounded to odd so that the second rounding does no harm."""
    if result.bits == 64:
        return intrinsic("fma")(b, result, x, y, z)
    wide, narrow = llvm_type(vector(f64, result.lanes)), llvm_type(result)
    xs, ys, zs = (b.value(f"fpext {narrow} {a.text} to {wide}") for a in (x, y, z))
    product = b.value(f"fmul {wide} {xs}, {ys}")
    total = b.value(f"fadd {wide} {product}, {zs}")
    back = b.value(f"fsub {wide} {total}, {product}")
    rest = b.value(f"fsub {wide} {total}, {back}")
    low = b.value(f"fsub {wide} {product}, {rest}")
    high = b.value(f"fsub {wide} {zs}, {back}")
    error = b.value(f"fadd {wide} {low}, {high}")
    odd = rounded_to_odd(b, result.lanes, total, error)
    return b.value(f"fptrunc {wide} {odd} to {narrow}")


def rounded_to_odd(b: Builder, lanes: int, total: str, error: str) -> str:
    """A rounded f64 sum and its exact error: where it is inexact and even, its neighbour on the side of the error."""
    reals, integers = vector(f64, lanes), vector(i64, lanes)
    wide, bits, flags = llvm_type(reals), llvm_type(integers), llvm_type(vector(bool1, lanes))
    zero, one = constant(reals, 0.0), constant(integers, 1)
    inexact = b.value(f"fcmp one {wide} {error}, {zero}")  # false for NaN, so infinities stay
    up, positive = (b.value(f"fcmp ogt {wide} {v}, {zero}") for v in (error, total))
    differ = b.value(f"xor {flags} {up}, {positive}")
    raw = b.value(f"bitcast {wide} {total} to {bits}")
    step = b.value(f"select {flags} {differ}, {bits} {constant(integers, -1)}, {bits} {one}")
    parity = b.value(f"and {bits} {raw}, {one}")
    even = b.value(f"icmp eq {bits} {parity}, {constant(integers, 0)}")
    needed = b.value(f"and {flags} {even}, {inexact}")
    moved = b.value(f"add {bits} {raw}, {step}")
    odd = b.value(f"select {flags} {needed}, {bits} {moved}, {bits} {raw}")
    return b.value(f"bitcast {bits} {odd} to {wide}")


fma = define("fma", "x * y + z, rounded once on every target", "x y z", elementwise("f"), fma_reference, lower_fma,
             group="arithmetic", overrides={"fma": intrinsic("fma")})  # fmt: skip

__all__ = ["fma"]
