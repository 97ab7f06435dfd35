"""Operations lane by lane: arithmetic, comparison, selection, bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from glassformer.simd.builder import Builder, constant, llvm_type
from glassformer.simd.errors import OperandError
from glassformer.simd.table import (
    Arg,
    Kind,
    Lowering,
    Operand,
    Operation,
    Signature,
    Static,
    define,
    elementwise,
    integer_range,
    unify,
    wrapping,
)  # fmt: skip
from glassformer.simd.types import Array, bool1, vector


def instruction(**names: str) -> Lowering:
    """A lowering to one instruction, chosen by the kind of the operands (b: masks)."""

    def lower(b: Builder, result: Kind, *args: Arg) -> str:
        kind = args[0].kind
        return b.value(f"{names[kind.kind]} {llvm_type(kind)} {', '.join(a.text for a in args)}")

    return lower


def intrinsic(name: str, *extra: tuple[str, str]) -> Lowering:
    """A lowering to an LLVM intrinsic overloaded on the operands' type."""

    def lower(b: Builder, result: Kind, *args: Arg) -> str:
        typed = [(llvm_type(a.kind), a.text) for a in args]
        return b.intrinsic(f"llvm.{name}.{overload(args[0].kind)}", llvm_type(result), *typed, *extra)

    return lower


def overload(kind: Kind) -> str:
    """How LLVM spells a type inside the name of an intrinsic."""
    scalar = f"{'f' if kind.kind == 'f' else 'i'}{kind.bits}"
    return scalar if kind.lanes == 1 else f"v{kind.lanes}{scalar}"


def binary(
    name: str, summary: str, kinds: str, meaning: Callable[[Any, Any], Array], lower: Lowering,
    group: str = "arithmetic",
) -> Operation:  # fmt: skip
    """An operation on two operands of one type."""
    reference = wrapping(lambda result, x, y: meaning(x, y))
    return define(name, summary, "x y", elementwise(kinds), reference, lower, group=group)


def unary(
    name: str, summary: str, kinds: str, meaning: Callable[[Any], Array], lower: Lowering, group: str
) -> Operation:
    """An operation on one operand."""
    return define(name, summary, "x", elementwise(kinds), wrapping(lambda result, x: meaning(x)), lower, group=group)


# ---------------------------------------------------------------- arithmetic

add = binary("add", "`x + y`; integers wrap", "iuf", np.add, instruction(i="add", u="add", f="fadd"))
sub = binary("sub", "`x - y`; integers wrap", "iuf", np.subtract, instruction(i="sub", u="sub", f="fsub"))
mul = binary("mul", "`x * y`; integers wrap", "iuf", np.multiply, instruction(i="mul", u="mul", f="fmul"))
div = binary("div", "`x / y`, correctly rounded", "f", np.divide, instruction(f="fdiv"))


def power_of_two(text: str) -> int:
    """The exponent when the text is a scalar constant 2^n, else -1."""
    value = int(text) if text.isdigit() else 0
    return value.bit_length() - 1 if value > 0 and value & (value - 1) == 0 else -1


def lower_floordiv(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
    """Rounds down as Python does. LLVM's sdiv rounds toward zero: with a remainder of the other sign, one less."""
    kind, exponent = llvm_type(result), power_of_two(y.text)
    if result.kind == "u":
        return b.value(f"udiv {kind} {x.text}, {y.text}")
    if exponent >= 0:
        return b.value(f"ashr {kind} {x.text}, {exponent}")
    quotient = b.value(f"sdiv {kind} {x.text}, {y.text}")
    less = one_if_floor_is_less(b, result, x, y)
    return b.value(f"sub {kind} {quotient}, {less}")


def one_if_floor_is_less(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
    """1 where truncated and floored quotients differ: remainder not 0, and of the other sign than the divisor."""
    kind, flags = llvm_type(result), llvm_type(vector(bool1, result.lanes))
    zero = constant(result, 0)
    rest = b.value(f"srem {kind} {x.text}, {y.text}")
    signs = b.value(f"xor {kind} {rest}, {y.text}")
    differ = b.value(f"icmp slt {kind} {signs}, {zero}")
    some = b.value(f"icmp ne {kind} {rest}, {zero}")
    both = b.value(f"and {flags} {differ}, {some}")
    return b.value(f"zext {flags} {both} to {kind}")


def lower_mod(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
    """The remainder with the divisor's sign."""
    kind, exponent = llvm_type(result), power_of_two(y.text)
    if exponent >= 0:
        return b.value(f"and {kind} {x.text}, {(1 << exponent) - 1}")
    if result.kind == "u":
        return b.value(f"urem {kind} {x.text}, {y.text}")
    quotient = lower_floordiv(b, result, x, y)
    product = b.value(f"mul {kind} {quotient}, {y.text}")
    return b.value(f"sub {kind} {x.text}, {product}")


def sign_division(operands: Sequence[Operand]) -> Signature:
    divisor = operands[1]
    if isinstance(divisor, Static) and divisor.value == 0:
        raise OperandError("division by 0")
    return elementwise("iu")(operands)


def division(name: str, summary: str, meaning: Callable[[Any, Any], Array], lower: Lowering) -> Operation:
    """Division of integers; what processors trap on is an error in reference mode."""

    def reference(result: Kind, x: Any, y: Any) -> Array:
        lowest = integer_range(result)[0]
        if np.any(y == 0) or (result.kind == "i" and np.any((x == lowest) & (y == -1))):
            raise OperandError(f"{name} of {x} by {y}: division by 0, or a quotient that does not fit")
        return meaning(x, y)

    return define(name, summary, "x y", sign_division, reference, lower, group="arithmetic")


floordiv = division(
    "floordiv", "`x // y`, rounded down; y must not be 0 and the quotient must fit", np.floor_divide, lower_floordiv
)
mod = division("mod", "`x % y`, with the sign of y; y must not be 0 and x // y must fit", np.mod, lower_mod)


def lower_neg(b: Builder, result: Kind, x: Arg) -> str:
    kind = llvm_type(result)
    return b.value(f"fneg {kind} {x.text}" if result.kind == "f" else f"sub {kind} {constant(result, 0)}, {x.text}")


neg = unary("neg", "`-x`; integers wrap", "if", np.negative, lower_neg, "arithmetic")


def lower_absolute(b: Builder, result: Kind, x: Arg) -> str:
    if result.kind == "f":
        return intrinsic("fabs")(b, result, x)
    return intrinsic("abs", ("i1", "false"))(b, result, x)


absolute = unary("absolute", "|x|; the smallest integer stays itself", "if", np.abs, lower_absolute, "arithmetic")


def pick(float_test: str, signed_test: str, unsigned_test: str) -> Lowering:
    """Compare, then select: x where the test holds, else y."""

    def lower(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
        test = {"f": f"fcmp {float_test}", "i": f"icmp {signed_test}", "u": f"icmp {unsigned_test}"}[result.kind]
        kind = llvm_type(result)
        flag = b.value(f"{test} {kind} {x.text}, {y.text}")
        return b.value(f"select {llvm_type(vector(bool1, result.lanes))} {flag}, {kind} {x.text}, {kind} {y.text}")

    return lower


minimum = binary("minimum", "x where x < y, else y (so y where either is NaN)", "iuf",
                 lambda x, y: np.where(x < y, x, y), pick("olt", "slt", "ult"))  # fmt: skip
maximum = binary("maximum", "x where x > y, else y (so y where either is NaN)", "iuf",
                 lambda x, y: np.where(x > y, x, y), pick("ogt", "sgt", "ugt"))  # fmt: skip


# ---------------------------------------------------------------- rounding

sqrt = unary("sqrt", "square root, correctly rounded", "f", np.sqrt, intrinsic("sqrt"), "arithmetic")
floor = unary("floor", "largest whole number not above x", "f", np.floor, intrinsic("floor"), "arithmetic")
ceil = unary("ceil", "smallest whole number not below x", "f", np.ceil, intrinsic("ceil"), "arithmetic")
trunc = unary("trunc", "x without its fraction", "f", np.trunc, intrinsic("trunc"), "arithmetic")
round_even = unary(
    "round_even", "nearest whole number, ties to even", "f", np.rint, intrinsic("roundeven"), "arithmetic"
)

# ---------------------------------------------------------------- comparison and selection


def comparison(
    name: str, symbol: str, meaning: Any, real: str, signed: str, unsigned: str, kinds: str = "iuf"
) -> Operation:
    """A test lane by lane; NaN compares false, except for `!=`."""
    tests = {"f": f"fcmp {real}", "i": f"icmp {signed}", "u": f"icmp {unsigned}", "b": f"icmp {signed}"}

    def lower(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
        return b.value(f"{tests[x.kind.kind]} {llvm_type(x.kind)} {x.text}, {y.text}")

    sign = elementwise(kinds, lambda k: vector(bool1, k.lanes))
    return define(
        name, f"`x {symbol} y`, a mask", "x y", sign, lambda r, x, y: meaning(x, y), lower, group="comparison"
    )


eq = comparison("eq", "==", np.equal, "oeq", "eq", "eq", "iufb")
ne = comparison("ne", "!=", np.not_equal, "une", "ne", "ne", "iufb")
lt = comparison("lt", "<", np.less, "olt", "slt", "ult")
le = comparison("le", "<=", np.less_equal, "ole", "sle", "ule")
gt = comparison("gt", ">", np.greater, "ogt", "sgt", "ugt")
ge = comparison("ge", ">=", np.greater_equal, "oge", "sge", "uge")


def sign_select(operands: Sequence[Operand]) -> Signature:
    flag, *values = operands
    if isinstance(flag, Static) or flag.kind != "b":
        raise OperandError("the first operand of select must be a mask, such as x < y")
    kind = unify(values, "iufbhs")
    lanes = max(kind.lanes, flag.lanes)
    if flag.lanes not in (1, lanes) or kind.lanes not in (1, lanes):
        raise OperandError(f"a mask of {flag.lanes} lanes cannot choose between values of {kind.lanes}")
    kind = vector(kind.scalar, lanes)
    return Signature((flag, kind, kind), kind)


def lower_select(b: Builder, result: Kind, flag: Arg, x: Arg, y: Arg) -> str:
    kind = llvm_type(result)
    return b.value(f"select {llvm_type(flag.kind)} {flag.text}, {kind} {x.text}, {kind} {y.text}")


select = define("select", "x where the mask is true, else y", "mask x y", sign_select,
                lambda r, m, x, y: np.where(m, x, y), lower_select, group="comparison")  # fmt: skip

# ---------------------------------------------------------------- bits


def same(name: str) -> Lowering:
    """The same instruction for integers and masks."""
    return instruction(i=name, u=name, b=name)


bit_and = binary("bit_and", "`x & y`, of integers or masks", "iub", np.bitwise_and, same("and"), "bits")
bit_or = binary("bit_or", "`x | y`, of integers or masks", "iub", np.bitwise_or, same("or"), "bits")
bit_xor = binary("bit_xor", "`x ^ y`, of integers or masks", "iub", np.bitwise_xor, same("xor"), "bits")


def lower_invert(b: Builder, result: Kind, x: Arg) -> str:
    return b.value(f"xor {llvm_type(result)} {x.text}, {constant(result, True if result.kind == 'b' else -1)}")


invert = unary("invert", "`~x`, of integers or masks", "iub", np.invert, lower_invert, "bits")


def shift(**names: str) -> Lowering:
    """A shift whose count is taken modulo the width, as processors do and LLVM does not."""

    def lower(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
        kind = llvm_type(result)
        if y.text.isdigit() and int(y.text) < result.bits:
            return b.value(f"{names[result.kind]} {kind} {x.text}, {y.text}")
        count = b.value(f"and {kind} {y.text}, {constant(result, result.bits - 1)}")
        return b.value(f"{names[result.kind]} {kind} {x.text}, {count}")

    return lower


def masked_count(meaning: Callable[[Any, Any], Array]) -> Callable[[Any, Any], Array]:
    """The reference of a shift: the count modulo the width."""
    return lambda x, y: meaning(x, np.asarray(y & (x.dtype.itemsize * 8 - 1), dtype=x.dtype))


shift_left = binary("shift_left", "`x << y`; y modulo the width", "iu", masked_count(np.left_shift),
                    shift(i="shl", u="shl"), "bits")  # fmt: skip
shift_right = binary("shift_right", "`x >> y`, keeping the sign of signed types; y modulo the width", "iu",
                     masked_count(np.right_shift), shift(i="ashr", u="lshr"), "bits")  # fmt: skip


def unsigned_view(x: Array) -> Array:
    """The same bits as an unsigned integer."""
    return np.asarray(x).view(f"u{x.dtype.itemsize}")


def leading_zeros(x: Array) -> Array:
    """Zeros above the highest set bit; the width for 0."""
    width = x.dtype.itemsize * 8
    flat = [width - int(v).bit_length() for v in unsigned_view(x).ravel()]
    return np.array(flat).reshape(x.shape).astype(x.dtype)


def trailing_zeros(x: Array) -> Array:
    """Zeros below the lowest set bit; the width for 0."""
    width = x.dtype.itemsize * 8
    flat = [width if v == 0 else (int(v) & -int(v)).bit_length() - 1 for v in unsigned_view(x).ravel()]
    return np.array(flat).reshape(x.shape).astype(x.dtype)


popcount = unary("popcount", "number of set bits", "iu", lambda x: np.bitwise_count(unsigned_view(x)).astype(x.dtype),
                 intrinsic("ctpop"), "bits")  # fmt: skip
count_leading_zeros = unary("count_leading_zeros", "zeros above the highest set bit; the width for 0", "iu",
                            leading_zeros, intrinsic("ctlz", ("i1", "false")), "bits")  # fmt: skip
count_trailing_zeros = unary("count_trailing_zeros", "zeros below the lowest set bit; the width for 0", "iu",
                             trailing_zeros, intrinsic("cttz", ("i1", "false")), "bits")  # fmt: skip


def lower_rotate(b: Builder, result: Kind, x: Arg, y: Arg) -> str:
    return intrinsic("fshl")(b, result, x, x, y)


def rotate_reference(x: Any, y: Any) -> Array:
    """Bits that leave on the left come back on the right."""
    width = x.dtype.itemsize * 8
    count = y % width
    return np.asarray(np.where(count == 0, x, (x << count) | (x >> ((width - count) % width))))


rotate_left = binary("rotate_left", "bits moved left, those that leave coming back on the right", "u",
                     rotate_reference, lower_rotate, "bits")  # fmt: skip

__all__ = [
    "absolute",
    "add",
    "bit_and",
    "bit_or",
    "bit_xor",
    "ceil",
    "count_leading_zeros",
    "count_trailing_zeros",
    "div",
    "eq",
    "floor",
    "floordiv",
    "ge",
    "gt",
    "invert",
    "le",
    "lt",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "ne",
    "neg",
    "popcount",
    "rotate_left",
    "round_even",
    "select",
    "shift_left",
    "shift_right",
    "sqrt",
    "sub",
    "trunc",
]
