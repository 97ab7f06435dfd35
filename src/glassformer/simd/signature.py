"""What can be said of a kernel without parsing it: how Python passes its parameters, what its code depends on."""

from __future__ import annotations

import hashlib
import linecache
from collections.abc import Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any, Protocol

from glassformer.simd.errors import OperandError
from glassformer.simd.table import Kind, Operand, Operation, Static
from glassformer.simd.types import PointerValue, Value, i64, is_type, vector

ENTRY = "glassformer_entry"  # the symbol of a kernel's exported function

# How `struct` writes a parameter into its 8-byte slot of the block of arguments.
SLOT_FORMATS = {
    "i8": "b7x",
    "u8": "B7x",
    "i16": "h6x",
    "u16": "H6x",
    "i32": "i4x",
    "u32": "I4x",
    "i64": "q",
    "u64": "Q",
    "f32": "f4x",
    "f64": "d",
}


class HasCode(Protocol):
    """What is named here of a kernel."""

    name: str
    function: Any

    @property
    def annotations(self) -> tuple[dict[str, Any], Any, dict[str, Any]]: ...


def check_entry(name: str, parameters: Mapping[str, Kind], result: Kind | None) -> None:
    """Refuse a kernel that Python cannot call."""
    if problem := entry_problem(parameters, result):
        raise OperandError(f"{name}: {problem}")


def entry_problem(parameters: Mapping[str, Kind], result: Kind | None) -> str:
    """What keeps Python from calling a kernel, which takes pointers and numbers and returns i64 or nothing."""
    for name, kind in parameters.items():
        if kind.lanes != 1 or kind.kind not in "iufp":
            return f"{name} is {kind.name}, so only kernels call it; from Python come pointers, integers, f32 and f64"
    if result not in (None, i64):
        return f"it returns {result.name}, so only kernels call it; to Python go i64 or nothing"
    names = list(parameters)
    if ({"begin", "end"} & parameters.keys()) and (
        names[-2:] != ["begin", "end"] or {parameters[n] for n in names[-2:]} != {i64}
    ):
        return "`begin: i64, end: i64` are the range of tasks and stand last"
    return ""


def bind_lanes(parameters: dict[str, type[Value]], operands: Sequence[Operand]) -> int:
    """How many lanes "N" means, from the operands given for parameters that leave it open."""
    lanes = 1
    for kind, operand in zip(parameters.values(), operands, strict=True):
        if kind.lanes == 0 and not isinstance(operand, Static):
            lanes = max(lanes, operand.lanes)
    return lanes


def fix_lanes(kind: type[Value] | None, lanes: int) -> Any:
    """A type whose open number of lanes is decided."""
    if kind is None or issubclass(kind, PointerValue) or kind.lanes:
        return kind
    return vector(kind.scalar, lanes)


def closed_over(function: Any) -> dict[str, Any]:
    """What a function sees of the functions around it; a name without a value yet is left out."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def code_signature(owner: HasCode, seen: set[int] | None = None) -> str:
    """A kernel's own code with every global that it reads, kernels that it calls included."""
    seen = set() if seen is None else seen
    if id(owner) in seen:
        return owner.name
    seen.add(id(owner))
    function = owner.function
    parameters, result, _ = owner.annotations
    code = function.__code__
    parts = [source_text(code), bytecode(code), repr([(n, k.name) for n, k in parameters.items()]), str(result)]
    scope = {**function.__globals__, **closed_over(function)}
    names = sorted(names_read(code))
    for name in names:
        if name in scope:
            parts.append(f"{name}={value_signature(scope[name], seen)}")
            # What is read through a module or a type: its attributes that the code names.
            if isinstance(scope[name], ModuleType | type):
                inner = [(n, getattr(scope[name], n)) for n in names if hasattr(scope[name], n)]
                parts += [f"{name}.{n}={value_signature(v, seen)}" for n, v in inner]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def source_text(code: CodeType) -> str:
    """The lines of a function: annotations of locals are in no bytecode."""
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename)
    return "".join(lines[code.co_firstlineno - 1 : max((line for *_, line in code.co_lines() if line), default=0)])


def bytecode(code: CodeType) -> str:
    """Instructions and constants of a function and of those inside it."""
    constants = [bytecode(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames}"


def names_read(code: CodeType) -> set[str]:
    """Names that a function may look up outside itself."""
    inner = [names_read(c) for c in code.co_consts if isinstance(c, CodeType)]
    return {*code.co_names, *code.co_freevars}.union(*inner)


def value_signature(value: Any, seen: set[int]) -> str:
    """A constant, type, operation or kernel as it bears on machine code."""
    if hasattr(value, "instantiate"):
        return code_signature(value, seen)
    if is_type(value):
        return str(value.name)
    if isinstance(value, Operation):
        return value.name + (code_signature(value.kernel, seen) if value.kernel else "")
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}({', '.join(value_signature(v, seen) for v in value)})"
    if value is None or isinstance(value, int | float | str | range):
        return repr(value)
    return getattr(value, "__name__", type(value).__name__)
