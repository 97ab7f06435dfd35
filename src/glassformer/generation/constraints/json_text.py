"""JSON (RFC 8259) as it is generated: every character of a string spelled in one way, and next to no white space.

White space is at most one space behind `,` and `:`. Characters stand for themselves; only quotation marks, backslashes
and control characters are escaped, as `json.dumps` with `ensure_ascii=False` does. Numbers are of limited length.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, lru_cache

from glassformer.generation.constraints.automaton import Automaton, compiled, exactly
from glassformer.generation.constraints.code_points import ANY, Ranges, byte_sequences, points, without
from glassformer.generation.constraints.effort import Effort
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.grammar import Chain, Either, Many, Node, Rule, Text
from glassformer.generation.constraints.pattern import ANYTHING, Bytes, Characters, Pattern, Series
from glassformer.generation.constraints.regex_reader import read_whole

ESCAPED = points('"\\' + "".join(map(chr, range(32))))
INTEGER_DIGITS = 15  # as many as a double of any reader holds exactly
NUMBER = rf"-?(0|[1-9]\d{{0,{INTEGER_DIGITS - 1}}})(\.\d{{1,{INTEGER_DIGITS}}})?([eE][+-]?\d{{1,2}})?"
COMMA, COLON = ", ?", ": ?"
ANY_VALUE = "value"  # the rule


def spelled(value: object) -> bytes:
    """A value as JSON, without white space.

    Raises:
        ConstraintError: for what is no JSON value, or holds half of a surrogate pair.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConstraintError(f"{value!r:.80} cannot be written as JSON: {error}") from None


def in_string(ranges: Ranges) -> Sequence[tuple[tuple[int, int], ...]]:
    """The bytes that spell characters within a JSON string."""
    found = list(byte_sequences(without(ranges, ESCAPED)))
    escaped = (chr(point) for first, last in ESCAPED for point in range(first, last + 1))
    wanted = (letter for letter in escaped if any(first <= ord(letter) <= last for first, last in ranges))
    return found + [tuple((byte, byte) for byte in spelled(letter)[1:-1]) for letter in wanted]


def string_of(content: Pattern, what: str, effort: Effort | None = None) -> Automaton:
    """JSON strings whose characters follow a pattern, quotation marks included."""
    return compiled(Series((Bytes(b'"'), content, Bytes(b'"'))), in_string, what, effort)


@lru_cache(maxsize=512)
def text(expression: str) -> Text:
    """What matches a regular expression."""
    return Text(compiled(read_whole(expression)))


@cache
def any_string() -> Automaton:
    """Every string, with its quotation marks."""
    return string_of(ANYTHING, "a string")


@cache
def character() -> Automaton:
    """One character of a string."""
    return compiled(Characters(ANY), in_string, "a character")


@cache
def any_key() -> Automaton:
    """Every name in an object, with the colon behind it."""
    return named(ANYTHING)


def named(content: Pattern, effort: Effort | None = None) -> Automaton:
    """Names in an object whose characters follow a pattern, with the colon behind them."""
    colon = Series((Bytes(b":"), read_whole(" ?")))
    return compiled(Series((Bytes(b'"'), content, Bytes(b'"'), colon)), in_string, "the names of properties", effort)


def values(found: Sequence[object], effort: Effort) -> Text:
    """One of several values."""
    return Text(exactly([spelled(value) for value in found], effort))


def members(opening: str, part: Node, closing: str) -> Node:
    """Any number of parts between brackets, commas between them."""
    further = Many(Chain((text(COMMA), part)), 0, None)
    return Either((text(opening + closing), Chain((text(opening), part, further, text(closing)))))


def object_of(value: Node) -> Node:
    """An object with any names."""
    return members(r"\{", Chain((Text(any_key()), value)), r"\}")


@cache
def any_value() -> Node:
    """What the rule `ANY_VALUE` stands for: every value, objects and arrays in it by way of the rule."""
    value = Rule(ANY_VALUE)
    scalars = text(f"{NUMBER}|true|false|null"), Text(any_string())
    return Either((*scalars, object_of(value), members(r"\[", value, r"\]")))
