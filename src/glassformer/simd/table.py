"""The operation table: each entry has a signature, a reference meaning on NumPy values and a lowering to LLVM.

Everything else reads this table: the frontend (signatures), reference mode (meanings), the emitter (lowerings, with
overrides for targets that have a better instruction), the list of operations in the documentation and the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from glassformer.simd.errors import OperandError
from glassformer.simd.types import OPERATORS, Array, PointerValue, Value, is_type, numpy_dtype, vector

if TYPE_CHECKING:
    pass

Kind = type[Value]


@dataclass(frozen=True)
class Static:
    """An operand known at compile time: a number, a type, a tuple of indices, None."""

    value: Any


Operand = Kind | Static


@dataclass(frozen=True)
class Signature:
    """What an operation does to given operands: the type each is brought to (None: stays static), and the result's."""

    operands: tuple[Kind | None, ...]
    result: Kind | None


@dataclass(frozen=True)
class Arg:
    """An operand in LLVM: its type and the text that names it."""

    kind: Kind
    text: str


Lowering = Callable[..., str]  # (builder, result type, *operands: Arg or static value) -> text of the result
TABLE: dict[str, Operation] = {}


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of the language; calling it means reference mode."""

    name: str
    summary: str
    parameters: tuple[str, ...]  # names; an operand after `required` may be missing and is then Static(None)
    required: int
    sign: Callable[[Sequence[Operand]], Signature]
    reference: Callable[..., Any]
    lower: Lowering
    overrides: dict[str, Lowering] = field(default_factory=dict)
    group: str = ""
    told_source: bool = False  # the reference needs the first operand's type: bf16 and u16 look alike to NumPy
    kernel: Any = None  # the operation is itself a kernel of the language: lowered by calling it

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Reference mode: the operation on values."""
        values = self.arrange(list(args), named)
        operands: list[Operand] = [type(v) if isinstance(v, Value) else Static(v) for v in values]
        signature = self.sign(operands)
        ready = [v if k is None else as_data(v, k) for v, k in zip(values, signature.operands, strict=True)]
        told = {"source": signature.operands[0]} if self.told_source else {}
        out = self.reference(signature.result, *ready, **told)
        if signature.result is None or isinstance(out, Value):
            return out
        return signature.result.wrap(np.asarray(out, dtype=numpy_dtype(signature.result)))

    def arrange(self, args: list[Any], named: dict[str, Any]) -> list[Any]:
        """Positional and named arguments in the order of the parameters, None where one is missing."""
        if self.parameters and self.parameters[-1].startswith("*"):
            return args
        if len(args) > len(self.parameters) or any(n not in self.parameters[len(args) :] for n in named):
            raise OperandError(f"{self.name}({', '.join(self.parameters)}) got other arguments")
        out = args + [named.get(n) for n in self.parameters[len(args) :]]
        missing = [n for n, v in zip(self.parameters[: self.required], out, strict=False) if v is None]
        if missing:
            raise OperandError(f"{self.name}({', '.join(self.parameters)}) needs {', '.join(missing)}")
        return out

    def lowering(self, features: frozenset[str]) -> Lowering:
        """The best lowering for a target: the first override whose feature it has, else the generic one."""
        return next((low for feature, low in self.overrides.items() if feature in features), self.lower)


def define(
    name: str, summary: str, parameters: str, sign: Callable[[Sequence[Operand]], Signature],
    reference: Callable[..., Any], lower: Lowering, *, required: int = -1, group: str = "", told_source: bool = False,
    overrides: Mapping[str, Lowering] | None = None,
) -> Operation:  # fmt: skip
    """Enter an operation into the table; `overrides` are lowerings by the feature that they need, best first."""
    names = tuple(parameters.split())
    entry = Operation(
        name,
        summary,
        names,
        len(names) if required < 0 else required,
        sign,
        reference,
        lower,
        dict(overrides or {}),
        group,
        told_source,
    )
    TABLE[name] = entry
    OPERATORS[name] = entry
    return entry


# ---------------------------------------------------------------- operand rules


def literal_fits(value: Any, kind: Kind) -> bool:
    """Whether a compile-time number can become a value of a type without changing."""
    if kind.kind == "b":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if kind.kind == "f":
        return value != value or value in (math.inf, -math.inf) or abs(value) <= largest_float(kind)
    low, high = integer_range(kind)
    return kind.kind in "iu" and isinstance(value, int) and low <= value <= high


def largest_float(kind: Kind) -> float:
    """The largest finite value of a float type; what is beyond it has no place in a kernel's text, except infinity."""
    return float(np.finfo(numpy_dtype(kind)).max)


def integer_range(kind: Kind) -> tuple[int, int]:
    """Smallest and largest value of an integer type."""
    return (-(1 << (kind.bits - 1)), (1 << (kind.bits - 1)) - 1) if kind.kind == "i" else (0, (1 << kind.bits) - 1)


def default_kind(value: Any) -> Kind:
    """The type of a literal that nothing else decides: i64, f32, or a truth value."""
    from glassformer.simd.types import bool1, f32, i64

    if isinstance(value, bool):
        return bool1
    if isinstance(value, int):
        return i64
    if isinstance(value, float):
        return f32
    raise OperandError(f"{value!r} is not a number")


def unify(operands: Sequence[Operand], kinds: str) -> Kind:
    """The type that operands share: one scalar type, one number of lanes (scalars are repeated); literals adapt."""
    typed = [o for o in operands if not isinstance(o, Static)]
    if not typed:
        typed = [default_kind(o.value) for o in operands if isinstance(o, Static)]
        typed = [k for k in typed if k.kind == "f"] or typed
    first = max(typed, key=lambda k: k.lanes)
    for kind in typed:
        if kind.scalar is not first.scalar:
            raise OperandError(
                f"types differ: {' and '.join(k.name for k in typed)}; convert one, as in {first.name}(x)"
            )
        if kind.lanes not in (1, first.lanes):
            raise OperandError(f"numbers of lanes differ: {' and '.join(k.name for k in typed)}")
    if first.kind not in kinds:
        hint = "; convert to f32 to compute" if first.kind in "hs" else ""
        raise OperandError(f"not defined for {first.name}{hint}")
    for operand in operands:
        if isinstance(operand, Static) and not literal_fits(operand.value, first.scalar):
            raise OperandError(f"the literal {operand.value!r} does not fit {first.scalar.name}")
    return first


def elementwise(kinds: str, result: Callable[[Kind], Kind] = lambda k: k) -> Callable[[Sequence[Operand]], Signature]:
    """The rule of operations whose operands all come to one type."""

    def sign(operands: Sequence[Operand]) -> Signature:
        kind = unify(operands, kinds)
        return Signature((kind,) * len(operands), result(kind))

    return sign


def need_static(operand: Operand, what: str) -> Any:
    """The value of an operand that must be known at compile time."""
    if not isinstance(operand, Static):
        raise OperandError(f"{what} must be known at compile time")
    return operand.value


def need_type(operand: Operand, what: str = "the type") -> Any:
    """An operand that must be a machine type."""
    value = need_static(operand, what)
    if not is_type(value):
        raise OperandError(f"{what} must be a type such as f32x16")
    return value


def need_pointer(operand: Operand) -> Any:
    """An operand that must be a pointer."""
    if isinstance(operand, Static) or not issubclass(operand, PointerValue):
        found = operand.value if isinstance(operand, Static) else operand.name
        raise OperandError(f"expected a pointer, found {found}")
    return operand


def need_integer(operand: Operand, kind: Kind, what: str) -> Kind:
    """An operand that must be, or adapt to, one integer type."""
    if isinstance(operand, Static):
        if not literal_fits(operand.value, kind):
            raise OperandError(f"{what} must be {kind.name}, found {operand.value!r}")
    elif operand is not kind:
        raise OperandError(f"{what} must be {kind.name}, found {operand.name}; write {kind.name}(x)")
    return kind


def need_value(operand: Operand, kinds: str, what: str = "the operand") -> Kind:
    """An operand that must be a run-time value of some kinds."""
    if isinstance(operand, Static):
        operand = default_kind(operand.value)
    if operand.kind not in kinds:
        raise OperandError(f"{what} cannot be {operand.name}")
    return operand


def as_data(value: Any, kind: Kind) -> Any:
    """A reference-mode operand brought to a type: NumPy data, or the pointer itself."""
    if isinstance(value, PointerValue):
        return value
    data = value.data if isinstance(value, Value) else np.asarray(value, dtype=numpy_dtype(kind))
    if kind.lanes > 1 and data.ndim == 0:
        data = np.full(kind.lanes, data)
    return data


def with_lanes(kind: Kind, lanes: int) -> Any:
    """The same scalar type with another number of lanes."""
    return vector(kind.scalar, lanes)


def wrapping(function: Callable[..., Array]) -> Callable[..., Array]:
    """A reference meaning whose integer overflow wraps and whose float overflow is infinite, without warnings."""

    def run(*args: Any) -> Array:
        with np.errstate(all="ignore"):
            return function(*args)

    return run
