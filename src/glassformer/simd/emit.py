"""From a typed tree to LLVM IR. A tree from the frontend is correct, so nothing here can fail on a user's account."""

from __future__ import annotations

import re

from glassformer.simd import tree
from glassformer.simd.builder import Builder, constant, llvm_type
from glassformer.simd.signature import ENTRY, entry_problem
from glassformer.simd.table import Arg, Static
from glassformer.simd.target import Target
from glassformer.simd.types import PointerValue, i64


def emit_module(function: tree.Function, target: Target, symbol: str = ENTRY) -> str:
    """LLVM IR of a kernel for a target.

    The module has one exported function, `i64 glassformer_entry(ptr arguments, i64 begin, i64 end)`: every parameter
    lies in an 8-byte slot of the block of arguments, except `begin` and `end`, which are the range of tasks to do.
    """
    module = Module(Builder(target))
    if entry_problem({s.name: s.kind for s in function.parameters}, function.result):
        module.define(function, exported=True)  # to be looked at
    else:
        module.entry(function, symbol)
    return module.b.module(function.name)


class Module:
    """The kernel and those it calls."""

    def __init__(self, builder: Builder) -> None:
        self.b = builder
        self.names: dict[tree.Function, str] = {}

    def entry(self, function: tree.Function, symbol: str) -> None:
        """The exported function around the kernel's own body."""
        b = self.b
        name = self.define(function)
        b.start_function(f"define i64 @{symbol}(ptr %arguments, i64 %begin, i64 %end) #0")
        values, index = [], 0
        for slot in function.parameters:
            if slot.name in ("begin", "end") and slot.kind is i64:
                values.append(f"i64 %{slot.name}")
                continue
            address = b.value(f"getelementptr i64, ptr %arguments, i64 {index}")
            values.append(f"{llvm_type(slot.kind)} {b.value(f'load {llvm_type(slot.kind)}, ptr {address}, align 8')}")
            index += 1
        if function.result is i64:
            b.line(f"ret i64 {self.call_i64(name, values)}")
        else:
            b.line(f"call void @{name}({', '.join(values)})")
            b.line("ret i64 0")
        b.end_function()

    def call_i64(self, name: str, values: list[str]) -> str:
        return self.b.value(f"call i64 @{name}({', '.join(values)})")

    def define(self, function: tree.Function, *, exported: bool = False) -> str:
        """Write a function, once, and those it calls before it; its name in the module."""
        if function not in self.names:
            for callee in called(function.body):
                self.define(callee)
            self.names[function] = f"{re.sub(r'[^A-Za-z0-9_]', '_', function.name)}.{len(self.names)}"
            FunctionEmitter(self, function).run("" if exported else "internal ")
        return self.names[function]


class FunctionEmitter:
    """One function: slots become stack slots, statements become blocks."""

    def __init__(self, module: Module, function: tree.Function) -> None:
        self.module, self.function, self.b = module, function, module.b
        self.slots: dict[tree.Slot, str] = {}
        self.loops: list[tuple[str, str]] = []  # labels to continue at and to break to

    def run(self, linkage: str) -> None:
        b, function = self.b, self.function
        result = llvm_type(function.result) if function.result else "void"
        typed = ", ".join(f"{llvm_type(s.kind)} %p{i}" for i, s in enumerate(function.parameters))
        b.start_function(f"define {linkage}{result} @{self.module.names[function]}({typed}) alwaysinline #0")
        for i, slot in enumerate(function.parameters):
            b.line(f"store {llvm_type(slot.kind)} %p{i}, ptr {self.slot(slot)}")
        self.block(function.body)
        b.line("ret void" if function.result is None else "unreachable")
        b.end_function()

    def slot(self, slot: tree.Slot) -> str:
        if slot not in self.slots:
            kind = llvm_type(slot.kind)
            self.slots[slot] = self.b.alloca(kind)
            # A variable read before it was assigned is 0, never what LLVM likes; dead where it was assigned.
            self.b.entry.append(f"  store {kind} zeroinitializer, ptr {self.slots[slot]}")
        return self.slots[slot]

    # ------------------------------------------------------------ statements

    def block(self, body: list[tree.Statement]) -> None:
        for statement in body:
            self.statement(statement)

    def statement(self, node: tree.Statement) -> None:
        b = self.b
        match node:
            case tree.Assign(slot, value):
                text = self.value(value)
                b.line(f"store {llvm_type(slot.kind)} {text}, ptr {self.slot(slot)}")
            case tree.Evaluate(value):
                self.value(value)
            case tree.For():
                self.loop(node)
            case tree.While(condition, body):
                self.while_loop(condition, body)
            case tree.If():
                self.conditional(node)
            case tree.Return(value):
                self.leave("ret void" if value is None else self.return_text(value))
            case tree.Break():
                self.leave(f"br label %{self.loops[-1][1]}")
            case tree.Continue():
                self.leave(f"br label %{self.loops[-1][0]}")

    def return_text(self, value: tree.Expression) -> str:
        text = self.value(value)
        assert self.function.result is not None
        return f"ret {llvm_type(self.function.result)} {text}"

    def leave(self, text: str) -> None:
        """End the block; what follows in the source is unreachable but must stand in a block of its own."""
        self.b.line(text)
        self.b.label(self.b.fresh("after"))

    def loop(self, node: tree.For) -> None:
        """A counter of its own, so that assigning to the loop variable does not steer the loop, as in Python."""
        b, kind = self.b, llvm_type(node.slot.kind)
        start, stop, step = (self.value(e) for e in (node.start, node.stop, node.step))
        counter = b.alloca(kind)
        b.line(f"store {kind} {start}, ptr {counter}")
        head, body, more, done = (b.fresh(stem) for stem in ("for", "body", "next", "done"))
        b.branch(head)
        b.label(head)
        now = b.value(f"load {kind}, ptr {counter}")
        test = "sgt" if step.startswith("-") else "slt"
        if node.slot.kind.kind == "u":
            test = "ult"
        b.branch_if(b.value(f"icmp {test} {kind} {now}, {stop}"), body, done)
        b.label(body)
        b.line(f"store {kind} {now}, ptr {self.slot(node.slot)}")
        self.loops.append((more, done))
        self.block(node.body)
        self.loops.pop()
        b.branch(more)
        b.label(more)
        following = b.value(f"add nsw {kind} {b.value(f'load {kind}, ptr {counter}')}, {step}")
        b.line(f"store {kind} {following}, ptr {counter}")
        b.branch(head)
        b.label(done)

    def while_loop(self, condition: tree.Expression, body: list[tree.Statement]) -> None:
        b = self.b
        head, inside, done = (b.fresh(stem) for stem in ("while", "body", "done"))
        b.branch(head)
        b.label(head)
        b.branch_if(self.value(condition), inside, done)
        b.label(inside)
        self.loops.append((head, done))
        self.block(body)
        self.loops.pop()
        b.branch(head)
        b.label(done)

    def conditional(self, node: tree.If) -> None:
        b = self.b
        then, otherwise, done = (b.fresh(stem) for stem in ("then", "else", "done"))
        b.branch_if(self.value(node.condition), then, otherwise)
        for label, body in ((then, node.then), (otherwise, node.otherwise)):
            b.label(label)
            self.block(body)
            b.branch(done)
        b.label(done)

    # ------------------------------------------------------------ expressions

    def value(self, node: tree.Expression) -> str:
        """Write an expression; the text that names its value ("" where it has none)."""
        b = self.b
        match node:
            case tree.Constant(kind, value):
                return constant(kind, value)
            case tree.Local(slot):
                return b.value(f"load {llvm_type(slot.kind)}, ptr {self.slot(slot)}")
            case tree.Apply():
                return self.apply(node)
            case tree.Call(function, operands):
                return self.call(function, operands)
            case tree.Logic():
                return self.logic(node)
            case tree.Choose():
                return self.choose(node)

    def apply(self, node: tree.Apply) -> str:
        operands = [o.value if isinstance(o, Static) else self.argument(o) for o in node.operands]
        return node.operation.lowering(self.b.target.features)(self.b, node.kind, *operands)

    def argument(self, node: tree.Expression) -> Arg:
        assert node.kind is not None
        return Arg(node.kind, self.value(node))

    def call(self, function: tree.Function, operands: tuple[tree.Expression, ...]) -> str:
        args = [self.argument(o) for o in operands]
        typed = ", ".join(f"{llvm_type(a.kind)} {a.text}" for a in args)
        name = self.module.names[function]
        if function.result is None:
            self.b.line(f"call void @{name}({typed})")
            return ""
        return self.b.value(f"call {llvm_type(function.result)} @{name}({typed})")

    def logic(self, node: tree.Logic) -> str:
        b = self.b
        slot, right, done = b.alloca("i1"), b.fresh("right"), b.fresh("done")
        left = self.value(node.left)
        b.line(f"store i1 {left}, ptr {slot}")
        b.branch_if(left, right if node.is_and else done, done if node.is_and else right)
        b.label(right)
        text = self.value(node.right)
        b.line(f"store i1 {text}, ptr {slot}")
        b.branch(done)
        b.label(done)
        return b.value(f"load i1, ptr {slot}")

    def choose(self, node: tree.Choose) -> str:
        b, kind = self.b, llvm_type(node.kind)
        slot, then, otherwise, done = b.alloca(kind), b.fresh("then"), b.fresh("else"), b.fresh("done")
        b.branch_if(self.value(node.condition), then, otherwise)
        for label, branch in ((then, node.then), (otherwise, node.otherwise)):
            b.label(label)
            text = self.value(branch)
            b.line(f"store {kind} {text}, ptr {slot}")
            b.branch(done)
        b.label(done)
        return b.value(f"load {kind}, ptr {slot}")


def called(body: list[tree.Statement]) -> list[tree.Function]:
    """Kernels that statements call, found by walking every field of every node."""
    found: list[tree.Function] = []
    stack: list[object] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Function):
            found.append(node)
        elif isinstance(node, list | tuple):
            stack.extend(node)
        elif hasattr(node, "__dataclass_fields__") and not isinstance(node, tree.Slot | Static):
            stack.extend(getattr(node, name) for name in node.__dataclass_fields__ if name not in ("operation", "kind"))
    return found


def is_pointer(slot: tree.Slot) -> bool:
    """Whether a parameter is an address."""
    return issubclass(slot.kind, PointerValue)
