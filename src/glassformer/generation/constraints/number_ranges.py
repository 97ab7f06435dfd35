"""Numbers between bounds as patterns of their digits."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from glassformer.generation.constraints.code_points import joined
from glassformer.generation.constraints.pattern import (
    NOTHING,
    Branches,
    Characters,
    Pattern,
    Repeated,
    Series,
    literal,
    maybe,
)

PLACES = 9  # behind the point of a number with bounds
NINES = 10**15 - 1  # the greatest whole part


def digits(first: int = 0, last: int = 9) -> Pattern:
    """One digit of a range."""
    return Characters(joined([(48 + first, 48 + last)]) if first <= last else ())


def some_digits(least: int, most: int) -> Pattern:
    """A number of digits."""
    return Repeated(digits(), least, most)


def naturals(low: int, high: int) -> Pattern:
    """Whole numbers from `low` to `high`, both at least 0, without leading zeros."""
    found = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first, last = max(low, 10 ** (length - 1) if length > 1 else 0), min(high, 10**length - 1)
        if first <= last:
            found.append(_equally_long(str(first), str(last)))
    return Branches(tuple(found))


def _equally_long(low: str, high: str) -> Pattern:
    """Digits from `low` to `high`, both of one length."""
    if set(low) <= {"0"} and set(high) <= {"9"}:
        return some_digits(len(low), len(low))
    first, last, rest = int(low[0]), int(high[0]), len(low) - 1
    if first == last:
        return Series((digits(first, first), _equally_long(low[1:], high[1:])))
    found = [Series((digits(first, first), _equally_long(low[1:], "9" * rest)))]
    found.append(Series((digits(last, last), _equally_long("0" * rest, high[1:]))))
    found.append(Series((digits(first + 1, last - 1), some_digits(rest, rest))))
    return Branches(tuple(found))


def integers(low: int, high: int) -> Pattern:
    """Whole numbers from `low` to `high`."""
    found = []
    if high >= 0:
        found.append(naturals(max(low, 0), high))
    if low < 0:
        found.append(Series((literal("-"), naturals(max(1, -high), -low))))
    return Branches(tuple(found))


def at_least(bound: Decimal, beyond: bool, mirrored: bool = False) -> Pattern:
    """Decimal numbers of at least `bound`, or `beyond` it; mirrored: their negatives.

    The bound has at most `PLACES` digits behind its point, and a whole part of at most `NINES`.
    """
    signs = (literal("-"), NOTHING) if mirrored else (NOTHING, literal("-"))
    if bound > 0 or (bound == 0 and beyond):
        return Series((signs[0], _from(bound, beyond)))
    positive = Series((signs[0], _from(Decimal(0), False)))
    return positive if bound == 0 else Branches((positive, Series((signs[1], _to(-bound, beyond)))))


def _parts(bound: Decimal) -> tuple[int, str]:
    """Whole part, and the digits behind the point without zeros at their end."""
    whole, _, behind = f"{bound:f}".partition(".")
    return int(whole), behind.rstrip("0")


def _from(bound: Decimal, beyond: bool) -> Pattern:
    """Numbers from a bound on that is at least 0."""
    whole, behind = _parts(bound)
    fraction = Series((literal("."), some_digits(1, PLACES)))
    found = []
    if whole < NINES:
        found.append(Series((naturals(whole + 1, NINES), maybe(fraction))))
    if not behind and not beyond:
        found.append(Series((literal(str(whole)), maybe(fraction))))
    else:
        found.append(Series((literal(f"{whole}."), Branches(tuple(_greater(behind, beyond))))))
    return Branches(tuple(found))


def _greater(behind: str, beyond: bool) -> Iterator[Pattern]:
    """Digits behind the point that make at least, or more than, given ones."""
    for place, digit in enumerate(behind):
        if digit != "9":
            rest = some_digits(0, PLACES - place - 1)
            yield Series((literal(behind[:place]), digits(int(digit) + 1, 9), rest))
    left = PLACES - len(behind)
    if not beyond:
        yield Series((literal(behind), some_digits(0, left)))
    elif left:
        yield Series((literal(behind), some_digits(0, left - 1), digits(1, 9)))


def _to(bound: Decimal, beyond: bool) -> Pattern:
    """Numbers from 0 to a bound above it; `beyond`: without the bound."""
    whole, behind = _parts(bound)
    found = []
    if whole > 0:
        fraction = Series((literal("."), some_digits(1, PLACES)))
        found.append(Series((naturals(0, whole - 1), maybe(fraction))))
    if behind or not beyond:
        less = Branches(tuple(_less(behind, beyond)))
        found.append(Series((literal(str(whole)), maybe(Series((literal("."), less))))))
    return Branches(tuple(found))


def _less(behind: str, beyond: bool) -> Iterator[Pattern]:
    """Digits behind the point that make at most, or less than, given ones."""
    for place, digit in enumerate(behind):
        if digit != "0":
            rest = some_digits(0, PLACES - place - 1)
            yield Series((literal(behind[:place]), digits(0, int(digit) - 1), rest))
        if place:
            yield literal(behind[:place])
    if not beyond:
        zeros = Repeated(digits(0, 0), 0 if behind else 1, PLACES - len(behind))
        yield Series((literal(behind), zeros))
