"""Reads the keywords of a schema, each with its place for messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from glassformer.generation.constraints.effort import Effort
from glassformer.generation.constraints.errors import ConstraintError

MAX_COUNT = 100_000  # of items and characters that are asked for


@dataclass(frozen=True)
class Fields:
    """One schema that is an object.

    Attributes:
        values: its keywords.
        path: where it is, as a JSON pointer.
        depth: in how many others it is.
        effort: what reading the whole schema may take.
    """

    values: Mapping[str, object]
    path: str
    depth: int
    effort: Effort

    def below(self, keyword: str, values: Mapping[str, object]) -> Fields:
        """What stands in a keyword, each with its place."""
        return Fields(values, self.at(keyword), self.depth, self.effort)

    def fail(self, keyword: str, what: str) -> ConstraintError:
        """The error of a keyword."""
        return ConstraintError(what, self.at(keyword))

    def at(self, keyword: str | int) -> str:
        """The place of what is below."""
        return f"{self.path}/{str(keyword).replace('~', '~0').replace('/', '~1')}"

    def wrong(self, keyword: str, expected: str) -> ConstraintError:
        """The error of a value of another kind."""
        return self.fail(keyword, f"expected {expected}, found {self.values[keyword]!r:.80}")

    def mapping(self, keyword: str) -> Mapping[str, object]:
        """A keyword whose value is an object; empty if it is not there."""
        found = self.values.get(keyword, {})
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise self.wrong(keyword, "an object")
        return found

    def sequence(self, keyword: str) -> list[object]:
        """A keyword whose value is a list; empty if it is not there."""
        found = self.values.get(keyword, [])
        if not isinstance(found, list | tuple):
            raise self.wrong(keyword, "a list")
        return list(found)

    def several(self, keyword: str) -> list[object]:
        """A keyword whose value is a list that is not empty."""
        found = self.sequence(keyword)
        if not found:
            raise self.wrong(keyword, "a list that is not empty")
        return found

    def string(self, keyword: str) -> str | None:
        """A keyword whose value is a string."""
        found = self.values.get(keyword)
        if keyword in self.values and not isinstance(found, str):
            raise self.wrong(keyword, "a string")
        return found if isinstance(found, str) else None

    def count(self, keyword: str) -> int | None:
        """A keyword whose value is a number of things."""
        if keyword not in self.values:
            return None
        found = self.values[keyword]
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise self.wrong(keyword, "a whole number of at least 0")
        if found > MAX_COUNT:
            raise self.fail(keyword, f"{found:.3g} is more than {MAX_COUNT}, the most that is supported")
        return found

    def counts(self, least: str, most: str) -> tuple[int, int | None]:
        """Two keywords that bound a number of things."""
        low, high = self.count(least) or 0, self.count(most)
        if high is not None and low > high:
            raise self.fail(least, f"{low} is more than {most}, {high}: nothing has so many")
        return low, high

    def number(self, keyword: str) -> Decimal | None:
        """A keyword whose value is a number."""
        if keyword not in self.values:
            return None
        found = self.values[keyword]
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.wrong(keyword, "a number")
        try:
            value = Decimal(repr(found)) if isinstance(found, float) else Decimal(found)
        except (InvalidOperation, ValueError):
            raise self.fail(keyword, "the number is too long") from None
        if not value.is_finite():
            raise self.wrong(keyword, "a number that is finite")
        return value
