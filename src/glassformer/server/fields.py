"""What a request asks, read strictly: every field by its type and range, and no other fields than those known."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from glassformer.formats.strict_json import brief
from glassformer.server.errors import RequestError

INTEGER = re.compile(r"-?[0-9]{1,15}")


class Asked:
    """The fields of a request: strings where they come from its address, JSON values where they come from its body."""

    def __init__(self, values: Mapping[str, object], known: Collection[str], *, text: bool) -> None:
        """text: numbers are written as strings, as in an address."""
        self.values, self.text = values, text
        unknown = next((key for key in values if key not in known), None)
        if unknown is not None:
            expected = ", ".join(sorted(known)) or "none"
            message = f"the parameter {brief(unknown)} is unknown here; there are: {expected}"
            raise RequestError(message, status=422, param=unknown[:80])

    def refused(self, key: str, expected: str) -> RequestError:
        """The error for a field that is missing or not what was expected."""
        found = brief(self.values[key]) if key in self.values else "missing"
        return RequestError(f"{key} is {found}, expected {expected}", status=422, param=key)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from `low` to `high`."""
        value = self.values.get(key, default)
        if self.text and isinstance(value, str) and INTEGER.fullmatch(value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise self.refused(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A finite number from `low` to `high`; in bodies alone."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refused(key, f"a number from {low:g} to {high:g}")
        if not (low <= value <= high and math.isfinite(value)):
            raise self.refused(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def string(self, key: str, most: int, default: str | None = None) -> str:
        """A string of at most so many characters."""
        value = self.values.get(key, default)
        if not isinstance(value, str) or len(value) > most:
            raise self.refused(key, f"a string of at most {most:,} characters")
        return value

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of some strings."""
        value = self.values.get(key, default)
        if not isinstance(value, str) or value not in choices:
            raise self.refused(key, f"one of {', '.join(choices)}")
        return value

    def items(self, key: str, most: int) -> list[Any]:
        """A list of at most so many items, empty where it is not there; in bodies alone."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or len(value) > most:
            raise self.refused(key, f"a list of at most {most:,} items")
        return value
