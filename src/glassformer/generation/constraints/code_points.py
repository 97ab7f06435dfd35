"""Sets of Unicode code points as sorted ranges, and the bytes that spell them in UTF-8."""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache

Ranges = tuple[tuple[int, int], ...]  # (first, last), ascending, none touching the next

LAST = 0x10FFFF
SURROGATES = ((0xD800, 0xDFFF),)
ENDS = (0x7F, 0x7FF, 0xFFFF, LAST)  # the last code points of 1, 2, 3 and 4 bytes


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same set with ranges sorted and those that touch made one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def points(text: str) -> Ranges:
    """The characters of a text."""
    return joined((ord(letter), ord(letter)) for letter in text)


def without(ranges: Ranges, removed: Ranges) -> Ranges:
    """What is in the first set and not in the second."""
    found = []
    for first, last in ranges:
        for low, high in removed:
            if high < first or low > last:
                continue
            if low > first:
                found.append((first, low - 1))
            first = high + 1
        if first <= last:
            found.append((first, last))
    return tuple(found)


def complement(ranges: Ranges) -> Ranges:
    """Every code point that UTF-8 can spell and that is not in the set."""
    return without(without(((0, LAST),), SURROGATES), ranges)


ANY = complement(())
LINE_ENDS = points("\n\r\u2028\u2029")
DIGITS = points("0123456789")
WORD = joined([*DIGITS, (ord("A"), ord("Z")), (ord("a"), ord("z")), (ord("_"), ord("_"))])
SPACES = points("\t\n\v\f\r ")


@cache
def all_that(holds: Callable[[str], bool]) -> Ranges:
    """Every character that has a property, by Python's Unicode tables."""
    return joined((point, point) for point in range(sys.maxunicode + 1) if holds(chr(point)))


def byte_sequences(ranges: Ranges) -> Iterator[tuple[tuple[int, int], ...]]:
    """UTF-8 of a set: for each sequence, the range of every byte (the splitting of Cox 2010, RE2).

    Surrogates are passed over; the sequences are disjoint.
    """
    for first, last in without(ranges, SURROGATES):
        for low, high in zip((0, *(end + 1 for end in ENDS)), ENDS, strict=False):
            if first <= high and last >= low:
                yield from _sequences(max(first, low), min(last, high))


def _sequences(first: int, last: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Sequences of a range whose characters take equally many bytes, split until every byte ranges by itself."""
    for bits in (6, 12, 18):
        mask = (1 << bits) - 1
        if first >> bits == last >> bits:
            break
        if first & mask:
            yield from _sequences(first, first | mask)
            yield from _sequences((first | mask) + 1, last)
            return
        if last & mask != mask:
            yield from _sequences(first, (last & ~mask) - 1)
            yield from _sequences(last & ~mask, last)
            return
    yield tuple(zip(chr(first).encode(), chr(last).encode(), strict=True))
