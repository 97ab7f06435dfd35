"""Reads regular expressions: the part of the syntax that Python's `re` and ECMA-262 understand alike.

Literals, `.`, classes, escapes, groups, alternation, quantifiers, and `^` and `$` around a whole alternative. What
the dialects read differently, or what no automaton can do, is refused with its place. Classes such as `\\d` are those
of ASCII; their complements leave out what either dialect counts to the class, so that every reader accepts the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from glassformer.generation.constraints.code_points import (
    ANY,
    DIGITS,
    LAST,
    LINE_ENDS,
    SPACES,
    WORD,
    Ranges,
    all_that,
    complement,
    joined,
    points,
    without,
)
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.pattern import (
    ANYTHING,
    NOTHING,
    Branches,
    Characters,
    Pattern,
    Repeated,
    Series,
)

LONGEST, DEEPEST, MOST = 20_000, 100, 100_000  # characters of a pattern, groups in groups, times in {m,n}
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
QUANTIFIER = re.compile(r"\{(\d*)(,?)(\d*)\}", re.ASCII)
GROUP = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)", re.ASCII)


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


# For each class: what it holds, and which characters any dialect counts to it.
CLASSES: dict[str, tuple[Ranges, Callable[[str], bool]]] = {
    "d": (DIGITS, str.isdigit),
    "w": (WORD, _is_word),
    "s": (SPACES, str.isspace),
}
BYTE_ORDER_MARK = points("\ufeff")  # a space in ECMA-262


@dataclass(frozen=True)
class Alternative:
    """One of the outermost alternatives of an expression, and whether `^` and `$` stand around it."""

    pattern: Pattern
    begins: bool
    ends: bool


def read_whole(expression: str) -> Pattern:
    """What a text has to be from its first to its last character; `^` and `$` may be written, and change nothing.

    Raises:
        ConstraintError: for what is malformed or not supported, with its place.
    """
    return Branches(tuple(each.pattern for each in _Reader(expression).expression()))


def read_within(expression: str) -> Pattern:
    """A text that holds the expression somewhere, as `pattern` of JSON Schema means it.

    Raises:
        ConstraintError: for what is malformed or not supported, with its place.
    """
    found = []
    for each in _Reader(expression).expression():
        before, behind = NOTHING if each.begins else ANYTHING, NOTHING if each.ends else ANYTHING
        found.append(Series((before, each.pattern, behind)))
    return Branches(tuple(found))


class _Reader:
    """Walks over an expression from left to right."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise ConstraintError(f"a pattern is a string, found {type(text).__name__}")
        if len(text) > LONGEST:
            raise ConstraintError(f"the pattern has {len(text)} characters; at most {LONGEST} are supported")
        self.text, self.place, self.depth = text, 0, 0

    def fail(self, what: str, place: int | None = None) -> ConstraintError:
        return ConstraintError(what, f"character {(self.place if place is None else place) + 1} of the pattern")

    def looking_at(self, text: str) -> bool:
        return self.text.startswith(text, self.place)

    def skip(self, text: str) -> bool:
        """Whether `text` comes next; then it is read."""
        found = self.looking_at(text)
        self.place += len(text) if found else 0
        return found

    def next(self, what: str) -> str:
        if self.place >= len(self.text):
            raise self.fail(f"the pattern ends where {what} is expected")
        self.place += 1
        return self.text[self.place - 1]

    def expression(self) -> list[Alternative]:
        """The whole."""
        found = [self.alternative()]
        while self.skip("|"):
            found.append(self.alternative())
        if self.place < len(self.text):
            raise self.fail("this ) closes no group; write \\) for the character")
        return found

    def alternative(self) -> Alternative:
        begins = self.skip("^")
        pattern = self.series()
        return Alternative(pattern, begins, self.skip("$"))

    def branches(self) -> Pattern:
        """Alternatives within a group."""
        found = [self.series()]
        while self.skip("|"):
            found.append(self.series())
        return found[0] if len(found) == 1 else Branches(tuple(found))

    def series(self) -> Pattern:
        parts = []
        while self.place < len(self.text) and self.text[self.place] not in "|)":
            if self.looking_at("$") and self.depth == 0 and self.text[self.place + 1 : self.place + 2] in ("", "|"):
                break
            parts.append(self.quantified(self.atom()))
        return parts[0] if len(parts) == 1 else Series(tuple(parts))

    def quantified(self, part: Pattern) -> Pattern:
        """A part with what says how often."""
        place = self.place
        times = self.times()
        if times is None:
            return part
        self.skip("?")  # as few as possible: the same texts
        if self.looking_at("+") or self.times() is not None:
            raise self.fail("a quantifier behind a quantifier is not supported; put a group around the first", place)
        return Repeated(part, *times)

    def times(self) -> tuple[int, int | None] | None:
        """(least, most) of a quantifier; None where there is none."""
        for sign, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.skip(sign):
                return times
        match = QUANTIFIER.match(self.text, self.place)
        if match is None or match[0] in ("{}", "{,}"):
            return None
        least, comma, most = match.groups()
        if not least:
            raise self.fail(f"{match[0]} is read differently by different dialects; write {{0,{most}}}")
        if max(len(least), len(most)) > 9 or max(int(least), int(most or 0)) > MOST:
            raise self.fail(f"{match[0]:.40} asks for more than {MOST} times, the most that is supported")
        if most and int(most) < int(least):
            raise self.fail(f"{match[0]} asks for at least {least} and at most {most} times")
        self.place = match.end()
        return int(least), int(most) if most else (None if comma else int(least))

    def atom(self) -> Pattern:
        """A character, a class or a group."""
        letter = self.next("a character")
        if letter == "(":
            return self.group()
        if letter == "[":
            return Characters(self.character_class())
        if letter == ".":
            return Characters(without(ANY, LINE_ENDS))
        if letter == "\\":
            return Characters(self.escape())
        if letter in "*+?":
            raise self.fail(f"there is nothing before {letter} to repeat; write \\{letter} for it", self.place - 1)
        if letter in "^$":
            raise self.fail(f"{letter} is only supported around a whole alternative; write \\{letter}", self.place - 1)
        return Characters(self.point(letter))

    def point(self, letter: str) -> Ranges:
        if "\ud800" <= letter <= "\udfff":
            raise self.fail("half of a surrogate pair is no character", self.place - 1)
        return points(letter)

    def group(self) -> Pattern:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail(f"groups are nested more than {DEEPEST} deep")
        if self.looking_at("?"):
            match = GROUP.match(self.text, self.place)
            if match is None:
                raise self.fail("lookahead, lookbehind, flags and conditions are not supported: only (...), (?:...)")
            self.place = match.end()
        found = self.branches()
        if not self.skip(")"):
            raise self.fail("a group is not closed")
        self.depth -= 1
        return found

    def escape(self) -> Ranges:
        """What is behind a backslash."""
        place = self.place - 1
        letter = self.next("an escaped character")
        if letter in CLASSES:
            return CLASSES[letter][0]
        if letter.lower() in CLASSES:
            return self.complement_of(letter.lower())
        if letter in "xu":
            return points(self.hexadecimal(2 if letter == "x" else 4, place))
        if letter in CONTROLS and not (letter == "0" and self.text[self.place : self.place + 1].isdecimal()):
            return points(CONTROLS[letter])
        if letter.isalnum() or not letter.isascii():
            raise self.fail(f"\\{letter} is not supported", place)
        return points(letter)

    @staticmethod
    def complement_of(letter: str) -> Ranges:
        wide = CLASSES[letter]
        return complement(joined([*wide[0], *all_that(wide[1]), *(BYTE_ORDER_MARK if letter == "s" else ())]))

    def widest(self, letter: str) -> Ranges:
        """All that any dialect counts to a class."""
        lower = letter.lower()
        return complement(self.complement_of(lower) if letter == lower else CLASSES[lower][0])

    def hexadecimal(self, digits: int, place: int) -> str:
        written = self.text[self.place : self.place + digits]
        if not re.fullmatch(rf"[0-9A-Fa-f]{{{digits}}}", written) or 0xD800 <= int(written, 16) <= 0xDFFF:
            raise self.fail(f"expected {digits} hexadecimal digits of a character", place)
        self.place += digits
        return chr(int(written, 16))

    def character_class(self) -> Ranges:
        """What is behind an opening bracket."""
        place, negated = self.place - 1, self.skip("^")
        found: list[tuple[int, int]] = []
        wide: list[tuple[int, int]] = []  # what any dialect may count to it, for the complement
        if self.looking_at("]"):
            raise self.fail("an empty class, or one that begins with ], is read differently; write \\]", place)
        while not self.skip("]"):
            before = self.place
            low = self.member(place)
            if self.looking_at("-") and not self.looking_at("-]"):
                self.place += 1
                low = self.between(low, self.member(place), before)
            elif self.text[before] == "\\" and self.text[before + 1].lower() in CLASSES:
                wide += self.widest(self.text[before + 1])
            found += low
        return complement(joined([*found, *wide])) if negated else joined(found)

    def member(self, place: int) -> Ranges:
        if self.place >= len(self.text):
            raise self.fail("a class is not closed", place)
        letter = self.next("a member of a class")
        if letter == "[":
            raise self.fail("[ within a class is read differently by different dialects; write \\[", self.place - 1)
        return self.escape() if letter == "\\" else self.point(letter)

    def between(self, low: Ranges, high: Ranges, place: int) -> Ranges:
        """A range of characters from its two ends."""
        single = [len(ranges) == 1 and ranges[0][0] == ranges[0][1] for ranges in (low, high)]
        if not all(single) or low[0][0] > high[0][0]:
            raise self.fail("a range in a class goes from one character to a later one", place)
        return without(((low[0][0], min(high[0][0], LAST)),), ((0xD800, 0xDFFF),))
