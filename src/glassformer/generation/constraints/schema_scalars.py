"""Strings and numbers of a schema."""

from __future__ import annotations

import math
from decimal import Decimal

from glassformer.generation.constraints.automaton import Automaton, combined, compiled
from glassformer.generation.constraints.code_points import ANY
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.formats import FORMATS
from glassformer.generation.constraints.grammar import Chain, Counted, Node, Text
from glassformer.generation.constraints.json_text import NUMBER, any_string, character, string_of, text
from glassformer.generation.constraints.number_ranges import NINES, PLACES, at_least, integers
from glassformer.generation.constraints.pattern import Characters, Pattern, Repeated
from glassformer.generation.constraints.regex_reader import read_whole, read_within
from glassformer.generation.constraints.schema_fields import Fields

LONGEST_BOUND = 10**30
Bound = tuple[Decimal, bool, str]  # the number, whether it is itself left out, and the keyword


def string(fields: Fields) -> Node:
    """`type: string` with its keywords."""
    low, high = fields.counts("minLength", "maxLength")
    parts = list(_shapes(fields))
    if not parts:
        if low == 0 and high is None:
            return Text(any_string())
        quote = text('"')
        return Chain((quote, Counted(character(), low, high), quote))
    if low or high is not None:
        keyword = "minLength" if low else "maxLength"
        parts.append((keyword, _compiled(fields, keyword, Repeated(Characters(ANY), low, high))))
    found = parts[0][1]
    for keyword, other in parts[1:]:
        try:
            found = combined(found, other, True, "this and the other keywords of the string", fields.effort)
        except ConstraintError as error:
            raise fields.fail(keyword, str(error)) from None
    return Text(found)


def _shapes(fields: Fields) -> list[tuple[str, Automaton]]:
    """What `pattern` and `format` ask."""
    found = []
    expression, name = fields.string("pattern"), fields.string("format")
    if expression is not None:
        fields.effort.spend(2 * len(expression))
        try:
            pattern = read_within(expression)
        except ConstraintError as error:
            raise fields.fail("pattern", str(error)) from None
        found.append(("pattern", _compiled(fields, "pattern", pattern)))
    if name is not None:
        if name not in FORMATS:
            raise fields.fail("format", f"{name!r:.40} is not supported, only {', '.join(FORMATS)}")
        found.append(("format", _compiled(fields, "format", read_whole(FORMATS[name]))))
    return found


def _compiled(fields: Fields, keyword: str, content: Pattern) -> Automaton:
    try:
        return string_of(content, f"{keyword} of the string", fields.effort)
    except ConstraintError as error:
        raise fields.fail(keyword, str(error)) from None


def _bounds(fields: Fields) -> tuple[Bound | None, Bound | None]:
    """The tighter of the two keywords on each side."""
    found: list[Bound | None] = []
    for usual, exclusive, sign in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
        given = [
            (value, strict, keyword)
            for keyword, strict in ((usual, False), (exclusive, True))
            if (value := fields.number(keyword)) is not None
        ]
        found.append(max(given, key=lambda each: (sign * each[0], each[1])) if given else None)
    low, high = found
    if low and high and (low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1]))):
        raise fields.fail(low[2], f"{low[0]} and {high[2]} {high[0]} leave no number")
    return low, high


def integer(fields: Fields) -> Node:
    """`type: integer` with its keywords."""
    low, high = _bounds(fields)
    edges: list[int | None] = [None, None]
    for place, bound in enumerate((low, high)):
        if bound is not None:
            if abs(bound[0]) > LONGEST_BOUND:
                raise fields.fail(bound[2], f"a bound of a whole number is at most {LONGEST_BOUND:.0e} from 0")
            whole = math.ceil(bound[0]) if place == 0 else math.floor(bound[0])
            edges[place] = whole + (1 - 2 * place) * (bound[1] and whole == bound[0])
    widest = max([NINES, *(10 ** len(str(abs(edge))) - 1 for edge in edges if edge is not None)])
    first, last = (-widest if edges[0] is None else edges[0]), (widest if edges[1] is None else edges[1])
    if first > last:
        raise fields.fail((low or high or ("", "", "type"))[2], "there is no whole number between the bounds")
    return Text(compiled(integers(first, last), what="the whole number", effort=fields.effort))


def number(fields: Fields) -> Node:
    """`type: number` with its keywords. Numbers with bounds are written without an exponent."""
    low, high = _bounds(fields)
    sides = []
    for bound, mirrored in ((low, False), (high, True)):
        if bound is None:
            continue
        value, strict, keyword = bound
        exponent = value.normalize().as_tuple().exponent
        if abs(value) > NINES or not isinstance(exponent, int) or exponent < -PLACES:
            raise fields.fail(keyword, f"a bound of a number has at most {PLACES} decimal places, and 15 before")
        if strict and abs(value) >= 10**6:
            raise fields.fail(keyword, "beyond a million a number can only be bounded inclusively")
        side = at_least(-value if mirrored else value, strict, mirrored)
        sides.append(compiled(side, what="the number", effort=fields.effort))
    if not sides:
        return text(NUMBER)
    if len(sides) == 1:
        return Text(sides[0])
    try:
        return Text(combined(sides[0], sides[1], True, "the bounds of the number", fields.effort))
    except ConstraintError as error:
        raise fields.fail("minimum", str(error)) from None
