"""The typed tree: what the frontend makes of a kernel and the emitter writes as LLVM IR."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from glassformer.simd.builder import Kind
from glassformer.simd.table import Operation, Static


@dataclass(eq=False)
class Slot:
    """A local variable or register of one fixed type."""

    name: str
    kind: Kind


@dataclass(frozen=True, eq=False)
class Constant:
    """A number of a type."""

    kind: Kind
    value: Any


@dataclass(frozen=True, eq=False)
class Local:
    """The value that a slot holds."""

    slot: Slot

    @property
    def kind(self) -> Kind:
        return self.slot.kind


@dataclass(frozen=True, eq=False)
class Apply:
    """An operation of the table on operands; `kind` is None where it has no result."""

    operation: Operation
    operands: tuple[Expression | Static, ...]
    kind: Kind | None


@dataclass(frozen=True, eq=False)
class Call:
    """Another kernel, inlined."""

    function: Function
    operands: tuple[Expression, ...]

    @property
    def kind(self) -> Kind | None:
        return self.function.result


@dataclass(frozen=True, eq=False)
class Logic:
    """`and` or `or` of two truth values; the right one is evaluated only when it decides."""

    is_and: bool
    left: Expression
    right: Expression
    kind: Kind


@dataclass(frozen=True, eq=False)
class Choose:
    """`x if condition else y`, evaluating one of them."""

    condition: Expression
    then: Expression
    otherwise: Expression
    kind: Kind


Expression = Constant | Local | Apply | Call | Logic | Choose


@dataclass(frozen=True, eq=False)
class Assign:
    slot: Slot
    value: Expression


@dataclass(frozen=True, eq=False)
class Evaluate:
    """An expression for its effect."""

    value: Expression


@dataclass(frozen=True, eq=False)
class For:
    """`for slot in range(start, stop, step)`; the step is a constant other than 0 or a positive value."""

    slot: Slot
    start: Expression
    stop: Expression
    step: Expression
    body: list[Statement]


@dataclass(frozen=True, eq=False)
class While:
    condition: Expression
    body: list[Statement]


@dataclass(frozen=True, eq=False)
class If:
    condition: Expression
    then: list[Statement]
    otherwise: list[Statement]


@dataclass(frozen=True, eq=False)
class Return:
    value: Expression | None


@dataclass(frozen=True, eq=False)
class Break:
    pass


@dataclass(frozen=True, eq=False)
class Continue:
    pass


Statement = Assign | Evaluate | For | While | If | Return | Break | Continue


@dataclass(eq=False)
class Function:
    """A kernel with all types and constants known."""

    name: str
    parameters: list[Slot]
    result: Kind | None
    body: list[Statement] = field(default_factory=list)


def show(function: Function) -> str:
    """The tree as indented text that reads like the kernel."""
    parameters = ", ".join(f"{s.name}: {s.kind.name}" for s in function.parameters)
    result = f" -> {function.result.name}" if function.result else ""
    return "\n".join([f"kernel {function.name}({parameters}){result}", *_block(function.body, 1)]) + "\n"


def _block(body: list[Statement], depth: int) -> list[str]:
    return [line for statement in body for line in _statement(statement, depth)]


def _statement(node: Statement, depth: int) -> list[str]:
    pad = "  " * depth
    match node:
        case Assign(slot, value):
            return [f"{pad}{slot.name}: {slot.kind.name} = {text(value)}"]
        case Evaluate(value):
            return [pad + text(value)]
        case For(slot, start, stop, step, body):
            head = f"{pad}for {slot.name}: {slot.kind.name} in range({text(start)}, {text(stop)}, {text(step)})"
            return [head, *_block(body, depth + 1)]
        case While(condition, body):
            return [f"{pad}while {text(condition)}", *_block(body, depth + 1)]
        case If(condition, then, otherwise):
            tail = [f"{pad}else", *_block(otherwise, depth + 1)] if otherwise else []
            return [f"{pad}if {text(condition)}", *_block(then, depth + 1), *tail]
        case Return(value):
            return [pad + ("return" if value is None else f"return {text(value)}")]
        case Break():
            return [pad + "break"]
        case _:
            return [pad + "continue"]


def text(node: Expression | Static) -> str:
    """An expression with the types of its constants and calls."""
    match node:
        case Static(value):
            return str(getattr(value, "name", value))
        case Constant(kind, value):
            return f"{kind.name}({value!r})"
        case Local(slot):
            return slot.name
        case Apply(operation, operands, kind):
            result = f": {kind.name}" if kind else ""
            return f"{operation.name}({', '.join(text(o) for o in operands if o != Static(None))}){result}"
        case Call(function, operands):
            return f"{function.name}({', '.join(text(o) for o in operands)})"
        case Logic(is_and, left, right, _):
            return f"({text(left)} {'and' if is_and else 'or'} {text(right)})"
        case Choose(condition, then, otherwise, _):
            return f"({text(then)} if {text(condition)} else {text(otherwise)})"
