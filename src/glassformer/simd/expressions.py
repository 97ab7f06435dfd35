"""The frontend's half for expressions: Python syntax to typed nodes, constants folded on the way."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from glassformer.simd import tree
from glassformer.simd.errors import KernelError, OperandError, SourceMap
from glassformer.simd.ops_arithmetic import maximum, minimum
from glassformer.simd.table import TABLE, Operand, Operation, Static, default_kind, unify
from glassformer.simd.types import PointerValue, bool1, byte_size, is_type, mask, pointer_to, vector

# What a name or an expression can be: a run-time expression, a constant, or a list of registers.
Entity = tree.Expression | Static | list[Any]

BINARY = {
    ast.Add: ("add", operator.add), ast.Sub: ("sub", operator.sub), ast.Mult: ("mul", operator.mul),
    ast.Div: ("div", operator.truediv), ast.FloorDiv: ("floordiv", operator.floordiv), ast.Mod: ("mod", operator.mod),
    ast.BitAnd: ("bit_and", operator.and_), ast.BitOr: ("bit_or", operator.or_), ast.BitXor: ("bit_xor", operator.xor),
    ast.LShift: ("shift_left", operator.lshift), ast.RShift: ("shift_right", operator.rshift),
    ast.Pow: ("pow", operator.pow),
}  # fmt: skip
UNARY: dict[type[ast.unaryop], tuple[str, Callable[..., Any]]] = {
    ast.USub: ("neg", operator.neg),
    ast.Invert: ("invert", operator.invert),
}
COMPARE: dict[type[ast.cmpop], tuple[str, Callable[..., Any]]] = {
    ast.Eq: ("eq", operator.eq), ast.NotEq: ("ne", operator.ne), ast.Lt: ("lt", operator.lt),
    ast.LtE: ("le", operator.le), ast.Gt: ("gt", operator.gt), ast.GtE: ("ge", operator.ge),
    ast.Is: ("", operator.is_), ast.IsNot: ("", operator.is_not),
    ast.In: ("", lambda x, y: x in y), ast.NotIn: ("", lambda x, y: x not in y),
}  # fmt: skip
# Functions that may be called on constants, giving a constant.
FOLDED: tuple[Callable[..., Any], ...] = (
    vector,
    mask,
    pointer_to,
    byte_size,
    min,
    max,
    len,
    abs,
    int,
    float,
    list,
    tuple,
    range,
    sum,
)

MAX_DEPTH = 100  # of nested expressions; the emitter recurses four calls a level
MAX_UNROLLED = 4096  # rounds of a compile-time loop


class Expressions:
    """Builds expression nodes; `names` maps local names to entities."""

    def __init__(self, source: SourceMap, names: dict[str, Entity], outer: dict[str, Any]) -> None:
        self.source, self.names, self.outer = source, names, outer
        self.locals: dict[str, tree.Slot] = {}
        self.lanes = 1  # what "N lanes" means in this instance
        self.depth = 0  # of nested expressions

    def fail(self, message: str, node: ast.AST) -> KernelError:
        return KernelError(message, self.source.span(node))

    # ------------------------------------------------------------ entry points

    def runtime(self, node: ast.expr) -> tree.Expression:
        """An expression that has a value at run time; a constant gets its default type."""
        return self.materialise(self.visit(node), node)

    def materialise(self, entity: Entity, node: ast.AST) -> tree.Expression:
        if isinstance(entity, list):
            raise self.fail("a list of registers is not a value; take one of its elements", node)
        if not isinstance(entity, Static):
            return entity
        try:
            return tree.Constant(default_kind(entity.value), entity.value)
        except OperandError as error:
            raise self.fail(str(error), node) from None

    def truth(self, entity: Entity, node: ast.AST) -> tree.Expression:
        """A condition: one truth value."""
        value = self.materialise(entity, node)
        if value.kind is not bool1:
            found = value.kind.name if value.kind else "nothing"
            raise self.fail(f"a condition is one truth value, this is {found}; compare, or use any_of or all_of", node)
        return value

    def visit(self, node: ast.expr) -> Entity:
        method = getattr(self, f"visit_{type(node).__name__}", None)
        if method is None:
            raise self.fail(f"{type(node).__name__} is not part of the kernel language", node)
        if self.depth == MAX_DEPTH:
            raise self.fail(f"expressions nest at most {MAX_DEPTH} deep; give parts of this one names", node)
        self.depth += 1
        try:
            entity: Entity = method(node)
        finally:
            self.depth -= 1
        return entity

    # ------------------------------------------------------------ names and constants

    def visit_Constant(self, node: ast.Constant) -> Entity:  # noqa: N802
        return Static(node.value)

    def visit_Name(self, node: ast.Name) -> Entity:  # noqa: N802
        if node.id in self.names:
            return self.names[node.id]
        if node.id in self.outer:
            return self.outer_value(self.outer[node.id], node)
        raise self.fail(f"{node.id} is not defined here", node)

    def outer_value(self, value: Any, node: ast.AST) -> Entity:
        if is_type(value) and value.lanes == 0:
            value = vector(value, self.lanes)
        return Static(value)

    def visit_Attribute(self, node: ast.Attribute) -> Entity:  # noqa: N802
        owner = self.visit(node.value)
        if not isinstance(owner, Static) or not (isinstance(owner.value, ModuleType) or is_type(owner.value)):
            raise self.fail("attributes are read from modules and types only", node)
        if not hasattr(owner.value, node.attr):
            raise self.fail(f"{getattr(owner.value, '__name__', owner.value)} has no {node.attr}", node)
        return self.outer_value(getattr(owner.value, node.attr), node)

    def visit_Tuple(self, node: ast.Tuple) -> Entity:  # noqa: N802
        return self.sequence([self.visit(e) for e in node.elts])

    def visit_List(self, node: ast.List) -> Entity:  # noqa: N802
        return self.sequence([self.visit(e) for e in node.elts])

    def sequence(self, items: list[Entity]) -> Entity:
        """A list of constants is a constant; any other is a list of registers in the making."""
        if all(isinstance(i, Static) for i in items):
            return Static([i.value for i in items if isinstance(i, Static)])
        return items

    def visit_ListComp(self, node: ast.ListComp) -> Entity:  # noqa: N802
        if len(node.generators) != 1 or not isinstance(node.generators[0].target, ast.Name):
            raise self.fail("a list is built with one `for name in static_range(...)`", node)
        generator = node.generators[0]
        name = generator.target.id  # type: ignore[attr-defined]
        before, items = self.names.get(name), []
        for value in self.constant_range(generator.iter):
            self.names[name] = Static(value)
            if all(self.constant(c) for c in generator.ifs):
                items.append(self.visit(node.elt))
        self.names.pop(name, None)
        if before is not None:
            self.names[name] = before
        return self.sequence(items)

    def constant(self, node: ast.expr) -> Any:
        """The value of an expression that must be known at compile time."""
        value = self.visit(node)
        if not isinstance(value, Static):
            raise self.fail("this must be known at compile time", node)
        return value.value

    def constant_range(self, node: ast.expr) -> list[Any]:
        """What a compile-time loop runs over."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("static_range", "range"):
            if node.keywords:
                raise self.fail(f"{node.func.id} takes one to three numbers by position", node)
            value = self.fold(range, [Static(self.constant(a)) for a in node.args], node).value
        else:
            value = self.constant(node)
        if not isinstance(value, list | tuple | range):
            raise self.fail("write `for name in static_range(...)`", node)
        if len(value) > MAX_UNROLLED:
            raise self.fail(f"unrolling {len(value)} times; at most {MAX_UNROLLED}, so write a run-time range", node)
        return list(value)

    def visit_Subscript(self, node: ast.Subscript) -> Entity:  # noqa: N802
        owner = self.visit(node.value)
        if isinstance(owner, list) or (isinstance(owner, Static) and isinstance(owner.value, list | tuple)):
            items = owner if isinstance(owner, list) else owner.value
            index = self.list_index(items, node)
            return items[index] if isinstance(owner, list) else Static(items[index])
        if isinstance(owner, Static) and isinstance(owner.value, type) and hasattr(owner.value, "__class_getitem__"):
            return self.fold(lambda t, i: t[i], [owner, Static(self.constant(node.slice))], node)
        pointer = self.element(owner, node)
        return self.apply(TABLE["load"], [pointer, Static(None), Static(None)], node)

    def list_index(self, items: Sequence[Any], node: ast.Subscript) -> int:
        """The constant index of an element that a list has."""
        index = self.constant(node.slice)
        if not isinstance(index, int) or not -len(items) <= index < len(items):
            raise self.fail(f"the list has {len(items)} elements, no element {index!r}", node)
        return index

    def element(self, owner: Entity, node: ast.Subscript) -> tree.Expression:
        """The address p + i of `p[i]`."""
        if isinstance(owner, list | Static) or owner.kind is None or not issubclass(owner.kind, PointerValue):
            raise self.fail("only pointers and lists of registers have elements; a vector's are lane(x, i)", node)
        pointer = self.apply(TABLE["offset"], [owner, self.visit(node.slice)], node)
        assert not isinstance(pointer, Static | list)
        return pointer

    # ------------------------------------------------------------ operators

    def visit_BinOp(self, node: ast.BinOp) -> Entity:  # noqa: N802
        left, right = self.visit(node.left), self.visit(node.right)
        if type(node.op) not in BINARY:
            raise self.fail(f"the operator {type(node.op).__name__} is not part of the kernel language", node)
        name, fold = BINARY[type(node.op)]
        if isinstance(left, Static) and isinstance(right, Static):
            return self.fold(fold, [left, right], node)
        if name in ("add", "sub") and self.is_pointer(left):
            step = right if name == "add" else self.negated(right, node)
            return self.apply(TABLE["offset"], [left, step], node)
        if name not in TABLE:
            raise self.fail("** is for constants; multiply, or use exp and log", node)
        return self.apply(TABLE[name], [left, right], node)

    def negated(self, entity: Entity, node: ast.AST) -> Entity:
        return Static(-entity.value) if isinstance(entity, Static) else self.apply(TABLE["neg"], [entity], node)

    def is_pointer(self, entity: Entity) -> bool:
        return (
            not isinstance(entity, list | Static) and entity.kind is not None and issubclass(entity.kind, PointerValue)
        )

    def fold(self, function: Callable[..., Any], operands: list[Static], node: ast.AST) -> Static:
        """Compute on constants as Python does."""
        try:
            return Static(function(*(o.value for o in operands)))
        except (TypeError, ValueError, ArithmeticError, MemoryError, OperandError) as error:
            raise self.fail(f"constants: {error}", node) from None

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Entity:  # noqa: N802
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            if isinstance(operand, Static):
                return Static(not operand.value)
            return self.apply(TABLE["invert"], [self.truth(operand, node)], node)
        if isinstance(node.op, ast.UAdd):
            return operand
        name, fold = UNARY[type(node.op)]
        if isinstance(operand, Static):
            return self.fold(fold, [operand], node)
        return self.apply(TABLE[name], [operand], node)

    def visit_Compare(self, node: ast.Compare) -> Entity:  # noqa: N802
        values = [self.visit(v) for v in (node.left, *node.comparators)]
        result: Entity | None = None
        for op, left, right in zip(node.ops, values, values[1:], strict=False):
            name, fold = COMPARE[type(op)]
            both_known = isinstance(left, Static) and isinstance(right, Static)
            if not both_known and not name:
                raise self.fail("`is` and `in` compare constants", node)
            one = self.fold(fold, [left, right], node) if both_known else self.apply(TABLE[name], [left, right], node)  # type: ignore[list-item]
            if result is not None and not isinstance(result, Static | list) and result.kind is not bool1:
                raise self.fail("vectors compare two at a time: write (x < y) & (y < z)", node)
            result = one if result is None else self.both(result, one, node)
        assert result is not None
        return result

    def both(self, left: Entity, right: Entity, node: ast.AST) -> Entity:
        """Two parts of a chained comparison, either of which may be known already."""
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Static):
                return other if one.value else one
        return self.apply(TABLE["bit_and"], [left, right], node)

    def visit_BoolOp(self, node: ast.BoolOp) -> Entity:  # noqa: N802
        is_and = isinstance(node.op, ast.And)
        result: Entity | None = None
        for part in node.values:
            if isinstance(result, Static) and bool(result.value) is not is_and:
                return result  # decided before run time: the rest is not looked at, as in Python
            value = self.visit(part)
            if result is None or isinstance(result, Static):
                result = value
            else:
                right = (
                    tree.Constant(bool1, bool(value.value)) if isinstance(value, Static) else self.truth(value, part)
                )
                result = tree.Logic(is_and, self.truth(result, node), right, bool1)
        assert result is not None
        return result

    def visit_IfExp(self, node: ast.IfExp) -> Entity:  # noqa: N802
        condition = self.visit(node.test)
        if isinstance(condition, Static):
            return self.visit(node.body if condition.value else node.orelse)
        sides = [self.visit(node.body), self.visit(node.orelse)]
        try:
            kind = unify([self.operand(s) for s in sides], "iufbhsp")
        except OperandError as error:
            raise self.fail(str(error), node) from None
        then, otherwise = (self.bring(s, kind, node) for s in sides)
        return tree.Choose(self.truth(condition, node), then, otherwise, kind)

    # ------------------------------------------------------------ calls

    def visit_Call(self, node: ast.Call) -> Entity:  # noqa: N802
        function = self.constant(node.func)
        args = [self.visit(a) for a in node.args]
        if any(k.arg is None for k in node.keywords):
            raise self.fail("** arguments are not part of the kernel language", node)
        named = {k.arg: self.visit(k.value) for k in node.keywords if k.arg is not None}
        if is_type(function):
            if len(args) != 1 or named:
                raise self.fail(f"{function.name}(x) takes one value", node)
            made = self.apply(TABLE["convert"], [args[0], Static(function)], node)
            return tree.Constant(function, args[0].value) if isinstance(args[0], Static) else made
        if isinstance(function, Operation):
            return self.operation(function, args, named, node)
        if function in (min, max, abs) and not all(isinstance(a, Static) for a in args):
            return self.builtin(function, args, node)
        if function in FOLDED and all(isinstance(a, Static) for a in args) and not named:
            return self.fold(function, [a for a in args if isinstance(a, Static)], node)
        if function is len and isinstance(args[0], list):
            return Static(len(args[0]))
        if hasattr(function, "instantiate"):
            return self.call(function, args, named, node)
        raise self.fail(f"{getattr(function, '__name__', function)} is neither an operation nor a kernel", node)

    def builtin(self, function: Any, args: list[Any], node: ast.AST) -> Entity:
        """`min(x, y)` is y where y < x, else x, as Python has it; so the operands of `minimum` change places."""
        operation, operands = {min: (minimum, 2), max: (maximum, 2), abs: (TABLE["absolute"], 1)}[function]
        if len(args) != operands:
            raise self.fail(f"{function.__name__} of run-time values takes {operands}", node)
        made = self.apply(operation, args[::-1], node)
        if operands == 2 and made.kind is not None and made.kind.lanes != 1:
            raise self.fail(f"{function.__name__} is for scalars; use {operation.name}(x, y)", node)
        return made

    def operation(self, function: Operation, args: list[Any], named: dict[str, Any], node: ast.AST) -> Entity:
        try:
            values = [Static(None) if v is None else v for v in function.arrange(args, named)]
        except OperandError as error:
            raise self.fail(str(error), node) from None
        if function.kernel is not None:
            return self.call(function.kernel, values, {}, node)
        return self.apply(function, values, node)

    def operand(self, entity: Entity) -> Operand:
        """How the operation table sees an entity."""
        if isinstance(entity, list):
            raise OperandError("a list of registers is not a value; take one of its elements")
        if isinstance(entity, Static):
            return entity
        if entity.kind is None:
            raise OperandError("this has no value")
        return entity.kind

    def apply(self, operation: Operation, entities: list[Any], node: ast.AST) -> tree.Apply:
        """An operation on entities, each brought to the type that the signature asks for."""
        try:
            signature = operation.sign([self.operand(e) for e in entities])
        except OperandError as error:
            raise self.fail(f"{operation.name}: {error}", node) from None
        operands: list[Any] = []
        for entity, kind in zip(entities, signature.operands, strict=True):
            operands.append(
                (entity if isinstance(entity, Static) else Static(None))
                if kind is None
                else self.bring(entity, kind, node)
            )
        return tree.Apply(operation, tuple(operands), signature.result)

    def bring(self, entity: Entity, kind: Any, node: ast.AST) -> tree.Expression:
        """An entity as a value of a type that it fits: literals become constants, scalars fill lanes."""
        if isinstance(entity, Static):
            return tree.Constant(kind, entity.value)
        value = self.materialise(entity, node)
        if value.kind is kind:
            return value
        return tree.Apply(TABLE["convert"], (value, Static(kind)), kind)

    def call(self, kernel: Any, args: list[Any], named: dict[str, Any], node: ast.AST) -> Entity:
        """Another kernel, inlined; constants go by name."""
        constants = {}
        for name, value in named.items():
            if not isinstance(value, Static):
                raise self.fail(f"{name} must be known at compile time", node)
            constants[name] = value.value
        try:
            function = kernel.instantiate([self.operand(a) for a in args], constants)
        except OperandError as error:
            raise self.fail(f"{kernel.name}: {error}", node) from None
        values = [self.bring(a, s.kind, node) for a, s in zip(args, function.parameters, strict=True)]
        return tree.Call(function, tuple(values))
