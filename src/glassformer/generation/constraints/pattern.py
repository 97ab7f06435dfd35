"""What a pattern says, as a tree: sets of characters, one after the other, one of several, repeated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from glassformer.generation.constraints.code_points import ANY, Ranges, points


@dataclass(frozen=True)
class Characters:
    """Any one character of a set."""

    ranges: Ranges


@dataclass(frozen=True)
class Bytes:
    """Given bytes, whatever characters they belong to."""

    data: bytes


@dataclass(frozen=True)
class Series:
    """Parts one after the other; without parts, the empty text."""

    parts: tuple[Pattern, ...]


@dataclass(frozen=True)
class Branches:
    """One of several; without any, no text at all."""

    options: tuple[Pattern, ...]


@dataclass(frozen=True)
class Repeated:
    """A part at least and at most so many times; most None: without end."""

    part: Pattern
    least: int
    most: int | None


Pattern = Characters | Bytes | Series | Branches | Repeated

NOTHING = Series(())
ANYTHING = Repeated(Characters(ANY), 0, None)


def literal(text: str) -> Pattern:
    """One text."""
    return Series(tuple(Characters(points(letter)) for letter in text))


def one_of(texts: Iterable[str]) -> Pattern:
    """One of several texts."""
    return Branches(tuple(literal(text) for text in texts))


def maybe(part: Pattern) -> Pattern:
    """A part, or nothing."""
    return Repeated(part, 0, 1)
