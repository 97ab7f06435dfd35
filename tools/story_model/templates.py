"""Templates: text with choices and values, read once and expanded many times.

`[a|b|c]` is a choice, which may nest, and `{x}` is a value that the teller looks up.  A template is read into a
list of nodes: text is a `str`, a value is a `Value` and a choice is a `Choice` of node lists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

_TOKEN = re.compile(r"[\[\]|]|\{[^{}]*\}|[^\[\]|{}]+")


@dataclass(frozen=True)
class Value:
    """A place that the teller fills: a name, a noun, a whole phrase."""

    name: str


@dataclass(frozen=True)
class Choice:
    """One of several ways to go on."""

    ways: tuple[tuple[Node, ...], ...]


Node = str | Value | Choice


@cache
def parse(template: str) -> tuple[Node, ...]:
    """Read a template.  The same few thousand templates serve millions of stories, so each is read once."""
    tokens = _TOKEN.findall(template)
    if "".join(tokens) != template:
        raise ValueError(f"stray brace in {template!r}")
    nodes, rest = _sequence(tokens, 0, inside=False)
    if rest != len(tokens):
        raise ValueError(f"unmatched ] in {template!r}")
    return nodes


def _sequence(tokens: list[str], i: int, inside: bool) -> tuple[tuple[Node, ...], int]:
    """Nodes from token `i` up to the end, or up to the `|` or `]` that ends one way of a choice."""
    nodes: list[Node] = []
    while i < len(tokens):
        token = tokens[i]
        if token == "]" or (token == "|" and inside):
            break
        if token == "[":
            choice, i = _choice(tokens, i + 1)
            nodes.append(choice)
            continue
        nodes.append(Value(token[1:-1]) if token.startswith("{") else token)
        i += 1
    return tuple(nodes), i


def _choice(tokens: list[str], i: int) -> tuple[Choice, int]:
    """The ways of a choice whose `[` has just been read, and where the text goes on."""
    ways: list[tuple[Node, ...]] = []
    while True:
        way, i = _sequence(tokens, i, inside=True)
        ways.append(way)
        if i == len(tokens):
            raise ValueError("a choice is not closed: " + "".join(tokens))
        i += 1
        if tokens[i - 1] == "]":
            return Choice(tuple(ways)), i
