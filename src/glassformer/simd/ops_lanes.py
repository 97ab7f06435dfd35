"""Operations across lanes: reductions in a fixed order, shuffles, masks as bits, integer dot products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from glassformer.simd.builder import Builder, constants, llvm_type
from glassformer.simd.errors import OperandError
from glassformer.simd.ops_arithmetic import add, bit_and, bit_or, maximum, minimum
from glassformer.simd.table import (
    Arg,
    Kind,
    Operand,
    Operation,
    Signature,
    Static,
    define,
    literal_fits,
    need_static,
    need_type,
    need_value,
    with_lanes,
)
from glassformer.simd.types import Array, numpy_dtype, open_lanes, u8, u16, u32, u64, vector

# ---------------------------------------------------------------- reductions


def halving(step: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """Fold the upper half onto the lower until one lane is left: the one order of every reduction."""

    def run(result: Kind, x: Array) -> Array:
        with np.errstate(all="ignore"):
            while x.ndim and len(x) > 1:
                x = step(x[: len(x) // 2], x[len(x) // 2 :])
        return np.asarray(x[0] if x.ndim else x)

    return run


def reduction(name: str, summary: str, kinds: str, step: Operation) -> Operation:
    """A fold of all lanes with an operation of two operands, by halves."""

    def sign(operands: Sequence[Operand]) -> Signature:
        kind = need_value(operands[0], kinds)
        return Signature((kind,), kind.scalar)

    def lower(b: Builder, result: Kind, x: Arg) -> str:
        while x.kind.lanes > 1:
            half = with_lanes(x.kind, x.kind.lanes // 2)
            parts = [Arg(half, take(b, x, start, half)) for start in (0, half.lanes)]
            x = Arg(half, step.lowering(b.target.features)(b, half, *parts))
        return x.text

    meaning = halving(lambda x, y: step.reference(None, x, y))
    return define(name, summary, "x", sign, meaning, lower, group="lanes")


def take(b: Builder, x: Arg, start: int, kind: Kind) -> str:
    """Lanes start, start + 1, ... of x as a narrower value."""
    source = llvm_type(x.kind)
    if kind.lanes == 1:
        return b.value(f"extractelement {source} {x.text}, i32 {start}")
    indices = constants("i32", list(range(start, start + kind.lanes)))
    return b.value(f"shufflevector {source} {x.text}, {source} poison, <{kind.lanes} x i32> {indices}")


reduce_add = reduction("reduce_add", "sum of the lanes, folded by halves", "iuf", add)
reduce_min = reduction("reduce_min", "smallest lane", "iuf", minimum)
reduce_max = reduction("reduce_max", "largest lane", "iuf", maximum)
all_of = reduction("all_of", "whether every lane of a mask is true", "b", bit_and)
any_of = reduction("any_of", "whether a lane of a mask is true", "b", bit_or)

# ---------------------------------------------------------------- shuffles


def need_vector(operand: Operand) -> Kind:
    """An operand that must have more than one lane."""
    kind = need_value(operand, "iufhs")
    if kind.lanes == 1:
        raise OperandError(f"expected a vector, found {kind.name}")
    return kind


def sign_shuffle(operands: Sequence[Operand]) -> Signature:
    kind = need_vector(operands[0])
    indices = need_static(operands[1], "the indices")
    other = operands[2]
    limit = kind.lanes
    if not isinstance(other, Static):
        if other is not kind:
            raise OperandError(f"shuffle of {kind.name} and {other.name}")
        limit *= 2
    if (
        not isinstance(indices, tuple | list)
        or not indices
        or any(not isinstance(i, int) or not 0 <= i < limit for i in indices)
    ):
        raise OperandError(f"indices must be a list of numbers from 0 to {limit - 1}")
    return Signature((kind, None, None if isinstance(other, Static) else kind), with_lanes(kind, len(indices)))


def lower_shuffle(b: Builder, result: Kind, x: Arg, indices: Any, y: Any) -> str:
    source = llvm_type(x.kind)
    second = y.text if isinstance(y, Arg) else "poison"
    if result.lanes == 1:
        return take(b, x, indices[0], result)
    order = constants("i32", list(indices))
    return b.value(f"shufflevector {source} {x.text}, {source} {second}, <{result.lanes} x i32> {order}")


shuffle = define(
    "shuffle",
    "lanes of x (then of y, numbered on) in the order of a constant list",
    "x indices y",
    sign_shuffle,
    lambda r, x, i, y: (x if y is None else np.concatenate([x, y]))[list(i)],
    lower_shuffle,
    required=2,
    group="lanes",
)


def pairwise(name: str, summary: str, order: Callable[[int], list[int]], widen: int = 1) -> Operation:
    """A shuffle of two values of one type in a fixed pattern."""

    def sign(operands: Sequence[Operand]) -> Signature:
        kind = need_vector(operands[0])
        if operands[1] is not kind:
            raise OperandError(f"{name} takes two vectors of one type")
        return Signature((kind, kind), with_lanes(kind, kind.lanes * widen))

    def meaning(result: Kind, x: Array, y: Array) -> Array:
        return np.concatenate([x, y])[order(len(x))]

    def lower(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
        return lower_shuffle(b, result, x, order(x.kind.lanes), y)

    return define(name, summary, "x y", sign, meaning, lower, group="lanes")


interleave_low = pairwise(
    "interleave_low",
    "x[0], y[0], x[1], y[1], ... from the lower halves",
    lambda n: [i // 2 + (i % 2) * n for i in range(n)],
)
interleave_high = pairwise(
    "interleave_high",
    "x[n/2], y[n/2], ... from the upper halves",
    lambda n: [n // 2 + i // 2 + (i % 2) * n for i in range(n)],
)
concat = pairwise("concat", "the lanes of x, then those of y", lambda n: list(range(2 * n)), widen=2)


def sign_part(operands: Sequence[Operand]) -> Signature:
    kind, start = need_vector(operands[0]), need_static(operands[1], "the first lane")
    lanes = need_static(operands[2], "the number of lanes")
    if lanes not in (1, 2, 4, 8, 16, 32, 64) or not isinstance(start, int) or not 0 <= start <= kind.lanes - lanes:
        raise OperandError(f"{kind.name} has no {lanes} lanes from lane {start}")
    return Signature((kind, None, None), with_lanes(kind, lanes))


part = define(
    "part",
    "lanes start to start + lanes of x",
    "x start lanes",
    sign_part,
    lambda r, x, s, n: x[s : s + n] if n > 1 else x[s],
    lambda b, r, x, s, n: take(b, x, s, r),
    group="lanes",
)


def sign_lane(operands: Sequence[Operand]) -> Signature:
    kind = need_value(operands[0], "iufhsb")
    index = need_static(operands[1], "the lane")
    if not isinstance(index, int) or not 0 <= index < kind.lanes:
        raise OperandError(f"{kind.name} has no lane {index!r}")
    return Signature((kind, None), kind.scalar)


lane = define(
    "lane",
    "lane i of x, i constant",
    "x i",
    sign_lane,
    lambda r, x, i: x[i] if x.ndim else x,
    lambda b, r, x, i: take(b, x, i, r) if x.kind.lanes > 1 else x.text,
    group="lanes",
)


def sign_insert(operands: Sequence[Operand]) -> Signature:
    need_vector(operands[0])
    lane_of = sign_lane(operands[:2])
    kind = lane_of.operands[0]
    assert kind is not None
    item = operands[2]
    fits = literal_fits(item.value, kind.scalar) if isinstance(item, Static) else item is kind.scalar
    if not fits:
        raise OperandError(f"a lane of {kind.name} must be {kind.scalar.name}")
    return Signature((kind, None, kind.scalar), kind)


def reference_insert(result: Kind, x: Array, i: int, item: Array) -> Array:
    out = x.copy()
    out[i] = item
    return out


def lower_insert(b: Builder, result: Kind, x: Arg, i: int, item: Arg) -> str:
    return b.value(f"insertelement {llvm_type(result)} {x.text}, {llvm_type(item.kind)} {item.text}, i32 {i}")


insert = define(
    "insert",
    "x with lane i (constant) replaced",
    "x i item",
    sign_insert,
    reference_insert,
    lower_insert,
    group="lanes",
)


def sign_lane_numbers(operands: Sequence[Operand]) -> Signature:
    kind = need_type(operands[0])
    kind = kind if kind.lanes else vector(kind.scalar, open_lanes())
    if kind.kind not in "iu" or kind.lanes < 2:
        raise OperandError("lane_numbers makes a vector of integers")
    return Signature((None,), kind)


lane_numbers = define(
    "lane_numbers",
    "0, 1, 2, ... as vector type T",
    "T",
    sign_lane_numbers,
    lambda r, T: np.arange(r.lanes).astype(numpy_dtype(r)),
    lambda b, r, T: constants(llvm_type(r.scalar), list(range(r.lanes))),
    group="lanes",
)

# ---------------------------------------------------------------- masks as bits


def sign_mask_bits(operands: Sequence[Operand]) -> Signature:
    kind = need_value(operands[0], "b", "the mask")
    if kind.lanes not in (8, 16, 32, 64):
        raise OperandError("mask_bits takes 8, 16, 32 or 64 lanes")
    return Signature((kind,), {8: u8, 16: u16, 32: u32, 64: u64}[kind.lanes])


def reference_mask_bits(result: Kind, m: Array) -> Array:
    return np.array(sum(1 << i for i, on in enumerate(m) if on)).astype(numpy_dtype(result))


def lower_mask_bits(b: Builder, result: Kind, m: Arg) -> str:
    return b.value(f"bitcast <{m.kind.lanes} x i1> {m.text} to {llvm_type(result)}")


mask_bits = define(
    "mask_bits",
    "a mask as an unsigned integer, lane 0 in the lowest bit",
    "mask",
    sign_mask_bits,
    reference_mask_bits,
    lower_mask_bits,
    group="lanes",
)


def sign_compress(operands: Sequence[Operand]) -> Signature:
    kind, mask = need_value(operands[0], "iuf"), need_value(operands[1], "b", "the mask")
    if (kind.lanes, kind.bits, mask.lanes) != (16, 32, 16):
        raise OperandError(f"compress takes 16 lanes of 32 bits and a mask for them, not {kind.name} and {mask.name}")
    return Signature((kind, mask), kind)


def reference_compress(result: Kind, x: Array, m: Array) -> Array:
    out = np.zeros_like(x)
    out[: np.count_nonzero(m)] = x[m]
    return out


def lower_compress(b: Builder, result: Kind, x: Arg, m: Arg) -> str:
    """Each lane to its place in memory; a lane that is not wanted is a 0, which the next one overwrites."""
    kind, item = llvm_type(result), llvm_type(result.scalar)
    slot, place = b.alloca(f"[{result.lanes} x {item}]"), "0"
    zeros = b.value(f"select <{result.lanes} x i1> {m.text}, {kind} {x.text}, {kind} zeroinitializer")
    b.line(f"store {kind} zeroinitializer, ptr {slot}, align 4")
    for i in range(result.lanes):
        value = b.value(f"extractelement {kind} {zeros}, i32 {i}")
        goal = b.value(f"getelementptr {item}, ptr {slot}, i64 {place}")
        b.line(f"store {item} {value}, ptr {goal}")
        wanted = b.value(f"extractelement <{result.lanes} x i1> {m.text}, i32 {i}")
        place = b.value(f"add i64 {place}, {b.value(f'zext i1 {wanted} to i64')}")
    return b.value(f"load {kind}, ptr {slot}, align 4")


def lower_compress_avx512(b: Builder, result: Kind, x: Arg, m: Arg) -> str:
    """vcompressps, vpcompressd."""
    kind, letter = llvm_type(result), "f" if result.kind == "f" else "i"
    name = f"llvm.x86.avx512.mask.compress.v16{letter}32"
    return b.intrinsic(name, kind, (kind, x.text), (kind, "zeroinitializer"), ("<16 x i1>", m.text))


compress = define(
    "compress",
    "of 16 lanes of 32 bits those where the mask is true, moved to the front; 0 behind them",
    "x mask",
    sign_compress,
    reference_compress,
    lower_compress,
    group="lanes",
    overrides={"avx512": lower_compress_avx512},
)

__all__ = [
    "all_of",
    "any_of",
    "compress",
    "concat",
    "insert",
    "interleave_high",
    "interleave_low",
    "lane",
    "lane_numbers",
    "mask_bits",
    "part",
    "reduce_add",
    "reduce_max",
    "reduce_min",
    "shuffle",
]
