"""What a text is made of: regular pieces, one after the other, one of several, repeated, and rules that may recur."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from glassformer.generation.constraints.automaton import Automaton


@dataclass(frozen=True, eq=False)
class Text:
    """A text of an automaton."""

    automaton: Automaton


@dataclass(frozen=True)
class Counted:
    """So many texts of an automaton, one behind the other; no text of it begins another, and none is empty."""

    unit: Automaton
    least: int
    most: int | None


@dataclass(frozen=True, eq=False)
class Chain:
    """Parts one after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Either:
    """One of several."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Many:
    """A part at least and at most so many times; most None: without end."""

    part: Node
    least: int
    most: int | None


@dataclass(frozen=True, eq=False)
class Rule:
    """What the rule of this name says."""

    name: str


Node = Text | Counted | Chain | Either | Many | Rule


@dataclass(frozen=True, eq=False)
class Grammar:
    """All texts of a node, with the rules that it refers to."""

    start: Node
    rules: Mapping[str, Node]

    def nodes(self) -> list[Node]:
        """Every node below the start and the rules, children before parents."""
        found: dict[Node, None] = {}
        stack: list[tuple[Node, bool]] = [(root, False) for root in (self.start, *self.rules.values())]
        while stack:
            node, ready = stack.pop()
            if ready:
                found[node] = None
            elif node not in found:
                stack.append((node, True))
                stack += [(child, False) for child in children(node)]
        return list(found)


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below one, rules not followed."""
    if isinstance(node, Chain):
        yield from node.parts
    elif isinstance(node, Either):
        yield from node.options
    elif isinstance(node, Many):
        yield node.part
