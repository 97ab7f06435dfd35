"""Machine types: scalars, vectors of lanes, masks and pointers.

A type is a Python class. It serves three readers: the frontend takes it as a description (`kind`, `bits`, `lanes`),
reference mode calls it as a constructor whose instances carry NumPy data, and a type checker sees an ordinary class.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from glassformer.simd.errors import OperandError

T = TypeVar("T")
Array = npt.NDArray[Any]

# Filled by the operation table; the operators of reference values are entries of it.
OPERATORS: dict[str, Callable[..., Any]] = {}

state = (
    threading.local()
)  # of reference mode: `depth` (whether a kernel's body runs) and `lanes` (what "N lanes" means)


def open_lanes() -> int:
    """How many lanes "N lanes" means in the kernel whose Python body runs on this thread."""
    return getattr(state, "lanes", 1)


INTEGER = "iu"
NUMBER = "iuf"


class Value:
    """A machine value: the class is its type, an instance (reference mode only) holds `data`, one element a lane."""

    kind: ClassVar[str] = ""  # i signed, u unsigned, f float, s stored-only float, b mask, p pointer
    bits: ClassVar[int] = 0  # of one lane
    lanes: ClassVar[int] = 1  # 0 means "as many as the operand has"
    name: ClassVar[str] = "value"
    scalar: ClassVar[type[Value]]

    data: Array

    def __init_subclass__(cls, kind: str = "", bits: int = 0, lanes: int = 1) -> None:
        if kind:
            cls.kind, cls.bits, cls.lanes, cls.name = kind, bits, lanes, cls.__name__
            cls.scalar = cls if lanes == 1 else _TYPES[(kind, bits, 1)]
            _TYPES[(kind, bits, lanes)] = cls

    def __new__(cls, value: Any = None) -> Any:
        """An instance; of a type with "N lanes", one of the type with as many as there are."""
        if cls.lanes or value is None:
            return super().__new__(cls)
        data = OPERATORS["construct"](cls, value)
        return vector(cls.scalar, len(data) if data.ndim else 1).wrap(data)

    def __init__(self, value: Any) -> None:
        self.data = OPERATORS["construct"](type(self), value)

    @classmethod
    def wrap(cls, data: Array) -> Any:
        """An instance around data that has the type's dtype and shape already."""
        value = cls.__new__(cls)
        value.data = data
        return value

    def __repr__(self) -> str:
        return f"{self.name}({self.data})"

    def __index__(self) -> int:
        if self.kind not in INTEGER or self.lanes != 1:
            raise OperandError(f"{self.name} is not an integer")
        return int(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __bool__(self) -> bool:
        if self.lanes != 1:
            raise OperandError(f"{self.name} has no truth value; use any_of or all_of")
        return bool(self.data)

    def __getitem__(self, index: Any) -> Any:
        raise OperandError(f"{self.name} has no elements; use lane(x, i)")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise OperandError(f"{self.name} has no elements")

    def __add__(self, other: Any) -> Any:
        return OPERATORS["add"](self, other)

    def __radd__(self, other: Any) -> Any:
        return OPERATORS["add"](other, self)

    def __sub__(self, other: Any) -> Any:
        return OPERATORS["sub"](self, other)

    def __rsub__(self, other: Any) -> Any:
        return OPERATORS["sub"](other, self)

    def __mul__(self, other: Any) -> Any:
        return OPERATORS["mul"](self, other)

    def __rmul__(self, other: Any) -> Any:
        return OPERATORS["mul"](other, self)

    def __truediv__(self, other: Any) -> Any:
        return OPERATORS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return OPERATORS["div"](other, self)

    def __floordiv__(self, other: Any) -> Any:
        return OPERATORS["floordiv"](self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return OPERATORS["floordiv"](other, self)

    def __mod__(self, other: Any) -> Any:
        return OPERATORS["mod"](self, other)

    def __rmod__(self, other: Any) -> Any:
        return OPERATORS["mod"](other, self)

    def __and__(self, other: Any) -> Any:
        return OPERATORS["bit_and"](self, other)

    def __rand__(self, other: Any) -> Any:
        return OPERATORS["bit_and"](other, self)

    def __or__(self, other: Any) -> Any:
        return OPERATORS["bit_or"](self, other)

    def __ror__(self, other: Any) -> Any:
        return OPERATORS["bit_or"](other, self)

    def __xor__(self, other: Any) -> Any:
        return OPERATORS["bit_xor"](self, other)

    def __rxor__(self, other: Any) -> Any:
        return OPERATORS["bit_xor"](other, self)

    def __lshift__(self, other: Any) -> Any:
        return OPERATORS["shift_left"](self, other)

    def __rshift__(self, other: Any) -> Any:
        return OPERATORS["shift_right"](self, other)

    def __rlshift__(self, other: Any) -> Any:
        return OPERATORS["shift_left"](other, self)

    def __rrshift__(self, other: Any) -> Any:
        return OPERATORS["shift_right"](other, self)

    def __abs__(self) -> Any:
        return OPERATORS["absolute"](self)

    def __pos__(self) -> Any:
        return self

    def __neg__(self) -> Any:
        return OPERATORS["neg"](self)

    def __invert__(self) -> Any:
        return OPERATORS["invert"](self)

    def __lt__(self, other: Any) -> Any:
        return OPERATORS["lt"](self, other)

    def __le__(self, other: Any) -> Any:
        return OPERATORS["le"](self, other)

    def __gt__(self, other: Any) -> Any:
        return OPERATORS["gt"](self, other)

    def __ge__(self, other: Any) -> Any:
        return OPERATORS["ge"](self, other)

    def __eq__(self, other: Any) -> Any:
        return OPERATORS["eq"](self, other)

    def __ne__(self, other: Any) -> Any:
        return OPERATORS["ne"](self, other)

    __hash__ = None  # type: ignore[assignment]  # equality is lane by lane, so values are no dictionary keys


_TYPES: dict[tuple[str, int, int], type[Value]] = {}


# fmt: off
class bool1(Value, kind="b", bits=1): ...  # noqa: N801
class i8(Value, kind="i", bits=8): ...  # noqa: N801
class i16(Value, kind="i", bits=16): ...  # noqa: N801
class i32(Value, kind="i", bits=32): ...  # noqa: N801
class i64(Value, kind="i", bits=64): ...  # noqa: N801
class u8(Value, kind="u", bits=8): ...  # noqa: N801
class u16(Value, kind="u", bits=16): ...  # noqa: N801
class u32(Value, kind="u", bits=32): ...  # noqa: N801
class u64(Value, kind="u", bits=64): ...  # noqa: N801
class f16(Value, kind="h", bits=16): ...  # noqa: N801  # storage: convert to f32 to compute
class bf16(Value, kind="s", bits=16): ...  # noqa: N801  # storage: convert to f32 to compute
class f32(Value, kind="f", bits=32): ...  # noqa: N801
class f64(Value, kind="f", bits=64): ...  # noqa: N801
# fmt: on

SCALARS: tuple[type[Value], ...] = (i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64)
LANES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)  # 0: as many as the operands have; over 64 only within operations

_DTYPES: dict[str, Any] = {
    "bool1": np.bool_, "f16": np.float16, "bf16": np.uint16, "f32": np.float32, "f64": np.float64,
    "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
}  # fmt: skip


def vector(scalar: type[Value], lanes: int) -> Any:
    """The type of `lanes` values of a scalar type; one lane is the scalar itself, 0 lanes stand for "any number"."""
    if lanes not in LANES or not is_type(scalar) or (scalar.kind, scalar.bits, 1) not in _TYPES:
        raise OperandError(
            f"there is no vector of {lanes!r} lanes of {getattr(scalar, 'name', scalar)!s}: lanes are {LANES[2:]}"
        )
    key = (scalar.kind, scalar.bits, lanes)
    if key not in _TYPES:
        suffix = "N" if lanes == 0 else str(lanes)
        name = f"mask{suffix}" if scalar.kind == "b" else f"{scalar.name}x{suffix}"
        type(name, (Value,), {}, kind=scalar.kind, bits=scalar.bits, lanes=lanes)
    return _TYPES[key]


def mask(lanes: int) -> Any:
    """The type of a truth value a lane."""
    return vector(bool1, lanes)


def is_type(value: object) -> bool:
    """Whether an object is a machine type (a class, not a value of one)."""
    return isinstance(value, type) and issubclass(value, Value)


def numpy_dtype(kind: type[Value]) -> npt.DTypeLike:
    """How NumPy holds one lane; bf16 travels as the 16 bits that it is."""
    return _DTYPES[kind.scalar.name]  # type: ignore[no-any-return]


def byte_size(kind: type[Value]) -> int:
    """Bytes of a value in memory."""
    return kind.bits // 8 * max(kind.lanes, 1)


class PointerValue(Value):
    """The address of elements of one type; `p + i` moves by elements, `p[i]` reads or writes one."""

    kind: ClassVar[str] = "p"
    bits: ClassVar[int] = 64
    element: ClassVar[type[Value]]
    memory: npt.NDArray[np.uint8]  # reference mode: what may be touched
    offset: int  # in bytes from its start

    def __init__(self, value: Any) -> None:
        raise OperandError("a pointer comes from a parameter; use cast(p, T) to see it as another type")

    @classmethod
    def at(cls, memory: npt.NDArray[np.uint8], offset: int) -> Any:
        """A reference-mode pointer into an array of bytes."""
        pointer = cls.__new__(cls)
        pointer.memory, pointer.offset = memory, offset
        return pointer

    def __getitem__(self, index: Any) -> Any:
        return OPERATORS["load"](self + index, self.element)

    def __setitem__(self, index: Any, value: Any) -> None:
        OPERATORS["store"](self + index, value)

    def __add__(self, count: Any) -> Any:
        return OPERATORS["offset"](self, count)

    def __sub__(self, count: Any) -> Any:
        return OPERATORS["offset"](self, -count)

    def __iter__(self) -> Iterator[Any]:
        raise OperandError("a pointer knows no length; loop over a range")

    def __repr__(self) -> str:
        return f"{self.name}(offset {self.offset} of {len(self.memory)} bytes)"


_POINTERS: dict[type[Value], Any] = {}


def pointer_to(element: type[Value]) -> Any:
    """The type of pointers to an element type."""
    if not is_type(element) or element.kind in "bp" or element.lanes == 0:
        raise OperandError(
            f"there is no pointer to {getattr(element, 'name', element)}; memory holds numbers and vectors of them"
        )
    if element not in _POINTERS:
        made: Any = type(f"Pointer[{element.name}]", (PointerValue,), {"element": element})
        made.name, made.scalar, made.lanes = f"Pointer[{element.name}]", made, 1
        _POINTERS[element] = made
    return _POINTERS[element]


if TYPE_CHECKING:

    class Pointer(PointerValue, Generic[T]):
        """What a type checker sees of `Pointer[f32]`."""

else:

    class Pointer:
        """`Pointer[f32]` is the type of pointers to f32."""

        def __class_getitem__(cls, element: type[Value]) -> Any:
            return pointer_to(element)


__all__ = [
    "Pointer",
    "bf16",
    "bool1",
    "byte_size",
    "f16",
    "f32",
    "f64",
    "i8",
    "i16",
    "i32",
    "i64",
    "is_type",
    "mask",
    "pointer_to",
    "u8",
    "u16",
    "u32",
    "u64",
    "vector",
]
