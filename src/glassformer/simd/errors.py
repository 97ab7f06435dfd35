"""Errors of the kernel language; each points at the user's own line and column."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from glassformer.errors import GlassformerError


class OperandError(GlassformerError):
    """What is wrong with the operands of an operation or with a kernel's arguments; the frontend adds the place."""


@dataclass(frozen=True)
class Span:
    """A place in a source file: 1-based line, 1-based column."""

    file: str
    line: int
    column: int
    text: str = ""
    width: int = 1

    def excerpt(self) -> str:
        """The source line with carets below the place."""
        return f"    {self.text}\n    {' ' * (self.column - 1)}{'^' * max(self.width, 1)}"


class KernelError(GlassformerError):
    """A kernel that is not of the language: says where, what, and what to write instead."""

    def __init__(self, message: str, span: Span) -> None:
        super().__init__(f"{span.file}:{span.line}:{span.column}: {message}\n{span.excerpt()}")
        self.message, self.span = message, span
        self.line, self.column = span.line, span.column


class TargetError(GlassformerError):
    """A target that is unknown, or that this LLVM or this machine cannot serve."""


class SourceMap:
    """Turns nodes of a parsed function back into places of its file."""

    def __init__(self, file: str, first_line: int, indent: int, lines: list[str]) -> None:
        self.file, self.first_line, self.indent, self.lines = file, first_line, indent, lines

    def span(self, node: ast.AST) -> Span:
        """The place of a node."""
        line, start = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        end = getattr(node, "end_col_offset", start + 1) if getattr(node, "end_lineno", line) == line else start + 1
        text = self.lines[line - 1].rstrip() if line <= len(self.lines) else ""
        before, within = (len(text.encode()[a:b].decode(errors="replace")) for a, b in ((0, start), (start, end)))
        column = before + self.indent + 1  # ast counts bytes
        return Span(self.file, self.first_line + line - 1, column, " " * self.indent + text, within)
