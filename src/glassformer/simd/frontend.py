"""From a Python function to a typed tree. Every error that a user can make is raised here, at its line and column."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Sequence
from typing import Any

from glassformer.simd import tree
from glassformer.simd.errors import KernelError, OperandError, SourceMap
from glassformer.simd.expressions import Entity, Expressions
from glassformer.simd.signature import closed_over
from glassformer.simd.table import TABLE, Static, literal_fits, unify
from glassformer.simd.types import Value, bool1, is_type


def parse(function: Any) -> tuple[ast.FunctionDef, SourceMap]:
    """The syntax tree of a function and the way back to its file."""
    name = getattr(function, "__name__", repr(function))
    try:
        lines, first = inspect.getsourcelines(function)
        dedented = textwrap.dedent("".join(lines))
        definition = ast.parse(dedented).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise OperandError(f"{name}: a kernel is a plain function in a source file that can be read: {error}") from None
    indent = len(lines[0]) - len(lines[0].lstrip())
    file = inspect.getsourcefile(function) or "<kernel>"
    source_map = SourceMap(file, first, indent, dedented.splitlines())
    if not isinstance(definition, ast.FunctionDef):
        if function.__code__.co_name == "<lambda>":
            raise KernelError("a kernel is a plain function", source_map.span(definition))
        # What `exec` made has no source, but Python may take that of the command line for it.
        raise OperandError(f"{name}: a kernel is a plain function in a source file that can be read; found other lines")
    return definition, source_map


def outer_names(function: Any) -> dict[str, Any]:
    """What a function can see besides its own names: builtins, its module, what it closes over."""
    return {**vars(builtins), **function.__globals__, **closed_over(function)}


def build(
    function: Any, parameters: dict[str, type[Value]], result: type[Value] | None, constants: dict[str, Any], lanes: int
) -> tree.Function:
    """The typed tree of a kernel whose constants, and whose number of lanes if it leaves that open, are decided."""
    definition, source = parse(function)
    names: dict[str, Entity] = {name: Static(value) for name, value in constants.items()}
    slots = [tree.Slot(name, kind) for name, kind in parameters.items()]
    builder = Statements(source, names, outer_names(function), result)
    builder.lanes = lanes
    for slot in slots:
        names[slot.name] = tree.Local(slot)
        builder.locals[slot.name] = slot
    body = builder.block(definition.body)
    if result is not None and not (body and isinstance(body[-1], tree.Return)):
        raise KernelError(f"{function.__name__} must end by returning {result.name}", source.span(definition))
    return tree.Function(function.__name__, slots, result, body)


class Statements(Expressions):
    """Builds statement nodes."""

    def __init__(
        self, source: SourceMap, names: dict[str, Entity], outer: dict[str, Any], result: type[Value] | None
    ) -> None:
        super().__init__(source, names, outer)
        self.result = result
        self.aliases: set[str] = set()  # names of lists that have another name too

    def block(self, body: Sequence[ast.stmt]) -> list[tree.Statement]:
        return [made for statement in body for made in self.statement(statement)]

    def statement(self, node: ast.stmt) -> list[tree.Statement]:
        method = getattr(self, f"do_{type(node).__name__}", None)
        if method is None:
            raise self.fail(f"{type(node).__name__} is not part of the kernel language", node)
        try:
            made: list[tree.Statement] = method(node)
        except KernelError:
            raise
        except Exception as error:  # constants are arbitrary Python objects, so evaluating them may raise anything
            raise self.fail(f"{type(error).__name__} at compile time: {error}", node) from error
        return made

    def do_Pass(self, node: ast.Pass) -> list[tree.Statement]:  # noqa: N802
        return []

    def do_Break(self, node: ast.Break) -> list[tree.Statement]:  # noqa: N802
        return [tree.Break()]

    def do_Continue(self, node: ast.Continue) -> list[tree.Statement]:  # noqa: N802
        return [tree.Continue()]

    def do_Expr(self, node: ast.Expr) -> list[tree.Statement]:  # noqa: N802
        if isinstance(node.value, ast.Constant):
            return []  # a docstring
        value = self.visit(node.value)
        if isinstance(value, Static | list):
            raise self.fail("this statement does nothing", node)
        return [tree.Evaluate(value)]

    def do_Return(self, node: ast.Return) -> list[tree.Statement]:  # noqa: N802
        if (node.value is None) != (self.result is None):
            expected = "nothing" if self.result is None else self.result.name
            raise self.fail(f"this kernel returns {expected}, as its annotation says", node)
        if node.value is None or self.result is None:
            return [tree.Return(None)]
        value = self.fitting(self.visit(node.value), self.result, "the returned value", node.value)
        return [tree.Return(value)]

    def fitting(self, entity: Entity, kind: Any, what: str, node: ast.AST) -> tree.Expression:
        """An entity that must have, or adapt to, a type."""
        if isinstance(entity, Static):
            if not literal_fits(entity.value, kind.scalar):
                raise self.fail(f"{what} is {entity.value!r}, which does not fit {kind.name}", node)
            return tree.Constant(kind, entity.value)
        value = self.materialise(entity, node)
        if value.kind is not kind:
            found = value.kind.name if value.kind else "nothing"
            raise self.fail(f"{what} is {found}, not {kind.name}; write {kind.name}(x)", node)
        return value

    # ------------------------------------------------------------ assignment

    def do_Assign(self, node: ast.Assign) -> list[tree.Statement]:  # noqa: N802
        if len(node.targets) != 1:
            raise self.fail("assign one thing at a time", node)
        return self.assign(node.targets[0], self.visit(node.value), node.value)

    def do_AnnAssign(self, node: ast.AnnAssign) -> list[tree.Statement]:  # noqa: N802
        kind = self.constant(node.annotation)
        if node.value is None or not is_type(kind) or not isinstance(node.target, ast.Name):
            raise self.fail("write `name: type = value` with a machine type", node)
        return self.assign_name(
            node.target.id, self.fitting(self.visit(node.value), kind, "the value", node.value), node
        )

    def do_AugAssign(self, node: ast.AugAssign) -> list[tree.Statement]:  # noqa: N802
        load = ast.copy_location(ast.BinOp(as_load(node.target), node.op, node.value), node)
        return self.assign(node.target, self.visit(load), node)

    def assign(self, target: ast.expr, value: Entity, node: ast.AST) -> list[tree.Statement]:
        if isinstance(target, ast.Name):
            return self.assign_name(target.id, value, node)
        if isinstance(target, ast.Subscript):
            return self.assign_element(target, value, node)
        if isinstance(target, ast.Tuple):
            return self.unpack(target, value, node)
        raise self.fail("assign to a name, an element of a list of registers, or p[i]", target)

    def unpack(self, target: ast.Tuple, value: Entity, node: ast.AST) -> list[tree.Statement]:
        """`a, b = x, y`: all values are taken before the first name changes."""
        items = (
            [Static(v) for v in value.value] if isinstance(value, Static) and isinstance(value.value, list) else value
        )
        if not isinstance(items, list) or len(items) != len(target.elts):
            raise self.fail(f"{len(target.elts)} names need as many values", target)
        made: list[tree.Statement] = []
        taken = [i if isinstance(i, Static) else self.registers("value", [i], made, node)[0] for i in items]
        for name, item in zip(target.elts, taken, strict=True):
            made += self.assign(name, item, node)
        return made

    def assign_name(self, name: str, value: Entity, node: ast.AST) -> list[tree.Statement]:
        if isinstance(value, list):
            return self.assign_list(name, value, node)
        if isinstance(value, Static) and (name.isupper() or not isinstance(value.value, int | float)):
            self.names[name] = value  # an upper-case name is a constant
            self.locals.pop(name, None)
            return []
        if name in self.locals and isinstance(self.names.get(name), tree.Local):
            slot = self.locals[name]
            return [tree.Assign(slot, self.fitting(value, slot.kind, f"{name} is {slot.kind.name}, the value", node))]
        expression = self.materialise(value, node)
        if expression.kind is None:
            raise self.fail("this has no value", node)
        slot = self.new_slot(name, expression.kind)
        return [tree.Assign(slot, expression)]

    def new_slot(self, name: str, kind: type[Value]) -> tree.Slot:
        slot = tree.Slot(name, kind)
        self.locals[name] = slot
        self.names[name] = tree.Local(slot)
        return slot

    def assign_list(self, name: str, value: list[Any], node: ast.AST) -> list[tree.Statement]:
        """A new list goes into the slots that the name has already, so that a loop around it sees it; else an alias."""
        if not isinstance(node, ast.List | ast.ListComp | ast.Tuple):
            self.names[name] = value
            self.aliases.add(name)
            return []
        made: list[tree.Statement] = []
        fresh, known = self.registers(name, value, made, node), self.names.get(name)
        if name not in self.aliases and same_shape(known, fresh):
            return made + copies(known, fresh)
        self.names[name] = fresh
        self.aliases.discard(name)
        return made

    def registers(self, name: str, items: list[Any], made: list[tree.Statement], node: ast.AST) -> list[Any]:
        """Slots for the elements of a (nested) list, with the statements that fill them."""
        out: list[Any] = []
        for index, item in enumerate(items):
            label = f"{name}[{index}]"
            if isinstance(item, list):
                out.append(self.registers(label, item, made, node))
                continue
            expression = self.materialise(item, node)
            if expression.kind is None:
                raise self.fail("an element of this list has no value", node)
            slot = tree.Slot(label, expression.kind)
            made.append(tree.Assign(slot, expression))
            out.append(tree.Local(slot))
        return out

    def assign_element(self, target: ast.Subscript, value: Entity, node: ast.AST) -> list[tree.Statement]:
        owner = self.visit(target.value)
        if isinstance(owner, list):
            element = owner[self.list_index(owner, target)]
            if not isinstance(element, tree.Local):
                raise self.fail("assign to one register of the list", target)
            slot = element.slot
            return [
                tree.Assign(slot, self.fitting(value, slot.kind, f"{slot.name} is {slot.kind.name}, the value", node))
            ]
        if isinstance(owner, Static) and isinstance(owner.value, list | tuple):
            raise self.fail(
                "this list holds constants; registers have types, as in [f32(0.0) for i in static_range(4)]", target
            )
        address = self.element(owner, target)
        return [tree.Evaluate(self.apply(TABLE["store"], [address, value, Static(None)], node))]

    # ------------------------------------------------------------ control flow

    def do_If(self, node: ast.If) -> list[tree.Statement]:  # noqa: N802
        condition = self.visit(node.test)
        if isinstance(condition, Static):  # decided at compile time: the other branch need not even fit
            return self.block(node.body if condition.value else node.orelse)
        return [tree.If(self.truth(condition, node.test), self.inner(node.body), self.inner(node.orelse))]

    def inner(self, body: list[ast.stmt]) -> list[tree.Statement]:
        """A block that may run never, or often: what it makes at compile time is its own; it changes nothing outer."""
        before = dict(self.names)
        made = self.block(body)
        for name, entity in list(self.names.items()):
            known = before.get(name)
            if known is None and isinstance(entity, Static | list):
                del self.names[name]
            elif known is not None and known is not entity and known != entity:
                raise self.fail(
                    f"{name} is known at compile time or has another type outside this block, so a run-time if or loop "
                    "cannot change it; use another name",
                    body[0],
                )
        return made

    def do_While(self, node: ast.While) -> list[tree.Statement]:  # noqa: N802
        if node.orelse:
            raise self.fail("while ... else is not part of the kernel language", node.orelse[0])
        test = self.visit(node.test)
        condition = tree.Constant(bool1, bool(test.value)) if isinstance(test, Static) else self.truth(test, node.test)
        return [tree.While(condition, self.inner(node.body))]

    def do_For(self, node: ast.For) -> list[tree.Statement]:  # noqa: N802
        if node.orelse or not isinstance(node.target, ast.Name):
            raise self.fail("write `for name in range(...)` or `for name in static_range(...)`", node)
        called = node.iter.func.id if isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name) else ""
        if called != "range":
            return self.unrolled(node, node.target.id)
        assert isinstance(node.iter, ast.Call)
        bounds = [self.visit(a) for a in node.iter.args]
        if not 1 <= len(bounds) <= 3 or node.iter.keywords:
            raise self.fail("range takes one to three numbers", node.iter)
        start, stop, step = [Static(0), *bounds, Static(1)] if len(bounds) == 1 else [*bounds, Static(1)][:3]
        try:
            kind = unify([self.operand(e) for e in (start, stop, step)], "iu")
        except OperandError as error:
            raise self.fail(str(error), node.iter) from None
        if isinstance(step, Static) and step.value == 0:
            raise self.fail("the step of a range must not be 0", node.iter)
        first, end, by = (self.bring(e, kind, node.iter) for e in (start, stop, step))
        existing = self.locals.get(node.target.id)
        reuse = (
            existing is not None and existing.kind is kind and isinstance(self.names.get(node.target.id), tree.Local)
        )
        slot = existing if reuse and existing is not None else self.new_slot(node.target.id, kind)
        return [tree.For(slot, first, end, by, self.inner(node.body))]

    def unrolled(self, node: ast.For, name: str) -> list[tree.Statement]:
        """A compile-time loop: the body once for each value."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Break | ast.Continue) and not inside_loop(inner, node):
                raise self.fail("break and continue need a run-time loop", inner)
        made: list[tree.Statement] = []
        for value in self.constant_range(node.iter):
            self.names[name] = Static(value)
            made += self.block(node.body)
        self.names.pop(name, None)
        return made


def same_shape(known: Any, fresh: Any) -> bool:
    """Whether two (nested) lists of registers agree in lengths and types."""
    if isinstance(known, list) and isinstance(fresh, list):
        return len(known) == len(fresh) and all(same_shape(k, f) for k, f in zip(known, fresh, strict=True))
    return isinstance(known, tree.Local) and isinstance(fresh, tree.Local) and known.kind is fresh.kind


def copies(goal: Any, source: Any) -> list[tree.Statement]:
    """Assignments of registers to registers."""
    if isinstance(goal, list):
        return [made for g, s in zip(goal, source, strict=True) for made in copies(g, s)]
    return [tree.Assign(goal.slot, source)]


def inside_loop(statement: ast.AST, outer: ast.For) -> bool:
    """Whether a break or continue belongs to a loop within the outer one."""
    return any(
        statement in ast.walk(loop)
        for loop in ast.walk(outer)
        if loop is not outer and isinstance(loop, ast.For | ast.While)
    )


def as_load(target: ast.expr) -> ast.expr:
    """The target of `x += y` as something that is read."""
    loaded = ast.parse(ast.unparse(target), mode="eval").body
    for node in ast.walk(loaded):
        ast.copy_location(node, target)
    return loaded
