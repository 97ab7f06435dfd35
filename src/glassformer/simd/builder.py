"""Writes LLVM IR as text: types, constants, instructions and blocks of one module."""

from __future__ import annotations

import struct
from typing import Any

from glassformer.simd.target import Target
from glassformer.simd.types import PointerValue, Value

Kind = type[Value]


def llvm_type(kind: Kind) -> str:
    """The LLVM type of a machine type; f16 and bf16 are the 16 bits that they are in memory."""
    if issubclass(kind, PointerValue):
        return "ptr"
    scalar = {"f": "float" if kind.bits == 32 else "double"}.get(kind.kind, f"i{kind.bits}")
    return scalar if kind.lanes == 1 else f"<{kind.lanes} x {scalar}>"


def constant(kind: Kind, value: Any) -> str:
    """A number as a constant of a type, repeated over its lanes."""
    if kind.kind == "f":
        as_double = float(value) if kind.bits == 64 else struct.unpack("f", struct.pack("f", value))[0]
        text = f"0x{struct.unpack('<Q', struct.pack('<d', as_double))[0]:016X}"
    elif kind.kind == "b":
        text = "true" if value else "false"
    else:
        text = str(int(value))
    if kind.lanes == 1:
        return text
    element = llvm_type(kind.scalar)
    return "<" + ", ".join([f"{element} {text}"] * kind.lanes) + ">"


def constants(element: str, values: list[int]) -> str:
    """A vector of different integer constants."""
    return "<" + ", ".join(f"{element} {v}" for v in values) + ">"


class Builder:
    """One LLVM module in the making; `value` and `line` append to the current function."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.declarations: dict[str, str] = {}
        self.functions: list[str] = []
        self.lines: list[str] = []
        self.entry: list[str] = []  # allocas of the current function
        self.block = ""
        self.count = 0

    def fresh(self, stem: str = "v") -> str:
        """A name nothing else has."""
        self.count += 1
        return f"{stem}{self.count}"

    def line(self, text: str) -> None:
        """Append an instruction that has no result."""
        self.lines.append("  " + text)

    def value(self, text: str) -> str:
        """Append an instruction and name its result."""
        name = "%" + self.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def label(self, name: str) -> None:
        """Start a block."""
        self.lines.append(f"{name}:")
        self.block = name

    def branch(self, label: str) -> None:
        """Jump."""
        self.line(f"br label %{label}")

    def branch_if(self, condition: str, then: str, otherwise: str) -> None:
        """Jump one way or the other."""
        self.line(f"br i1 {condition}, label %{then}, label %{otherwise}")

    def alloca(self, kind: str) -> str:
        """A stack slot, in the entry block so that LLVM can make it a register."""
        name = "%" + self.fresh("slot")
        self.entry.append(f"  {name} = alloca {kind}")
        return name

    def intrinsic(self, name: str, result: str, *args: tuple[str, str]) -> str:
        """Call an LLVM intrinsic (or another external function), declaring it once."""
        self.declarations[name] = f"declare {result} @{name}({', '.join(t for t, _ in args)})"
        call = f"call {result} @{name}({', '.join(f'{t} {v}' for t, v in args)})"
        if result == "void":
            self.line(call)
            return ""
        return self.value(call)

    def splat(self, kind: Kind, text: str) -> str:
        """A scalar repeated over the lanes of a vector type."""
        if kind.lanes == 1:
            return text
        one = self.value(f"insertelement {llvm_type(kind)} poison, {llvm_type(kind.scalar)} {text}, i32 0")
        return self.value(
            f"shufflevector {llvm_type(kind)} {one}, {llvm_type(kind)} poison, <{kind.lanes} x i32> zeroinitializer"
        )

    def start_function(self, header: str) -> None:
        """Begin a function body."""
        self.lines, self.entry = [], []
        self.functions.append(header)
        self.block = "entry"

    def end_function(self) -> None:
        """Close the function begun last."""
        body = [self.functions.pop() + " {", "entry:", *self.entry, *self.lines, "}"]
        self.functions.append("\n".join(body))

    def module(self, name: str) -> str:
        """The whole module as text."""
        head = [f"; module {name} for {self.target.name}", f'target triple = "{self.target.triple}"', ""]
        return "\n".join([*head, *self.functions, "", *self.declarations.values(), *self.target.attribute_lines(), ""])
