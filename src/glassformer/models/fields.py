"""Typed fields of a JSON object, read with all their problems noted, so that one error can list every one."""

import math
from collections.abc import Mapping, Sequence

from glassformer.errors import GlassformerError
from glassformer.formats.strict_json import brief

TokenIds = int | tuple[int, ...] | None
_MAX_ID = (1 << 63) - 1


class ConfigError(GlassformerError):
    """A model's configuration that is wrong, or that its tensors contradict; the message lists every problem."""


class Fields:
    """Reads fields by name; a wrong one is noted in `problems` and its default returned, so that reading goes on."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values
        self.problems: list[str] = []

    def refuse(self, key: str, expected: str) -> None:
        """Note that the value of `key` is not what was expected."""
        self.problems.append(f"{key} is {brief(self.values.get(key))}, expected {expected}")

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`; a boolean is not one."""
        value = self.values.get(key, default)
        if type(value) is int and low <= value <= high:
            return value
        self.refuse(key, f"a whole number from {low:,} to {high:,}")
        return default

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        """As `integer`, or None where the field is null or absent."""
        return None if self.values.get(key) is None else self.integer(key, low, low, high)

    def number(self, key: str, default: float, low: float, high: float = math.inf) -> float:
        """A finite number, whole or not, from `low` to `high`."""
        value = self.values.get(key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and _finite(value):
            return float(value)
        self.refuse(key, f"a finite number of at least {low:g}" + ("" if math.isinf(high) else f", at most {high:g}"))
        return default

    def optional_number(self, key: str, low: float, high: float = math.inf) -> float | None:
        """As `number`, or None where the field is null or absent."""
        return None if self.values.get(key) is None else self.number(key, low, low, high)

    def boolean(self, key: str, default: bool) -> bool:
        """true or false, and nothing that merely counts as one."""
        value = self.values.get(key, default)
        if isinstance(value, bool):
            return value
        self.refuse(key, "true or false")
        return default

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        """One of the strings in `choices`."""
        value = self.values.get(key, default)
        if isinstance(value, str) and value in choices:
            return value
        self.refuse(key, f"one of {', '.join(choices)}")
        return default

    def token_ids(self, key: str, default: TokenIds = None) -> TokenIds:
        """One token id, several, or none. Ids outside the vocabulary are let pass: published models have them."""
        value = self.values.get(key, default)
        if value is None or _is_id(value):
            return value  # type: ignore[return-value]  # an id is an int
        if isinstance(value, list | tuple) and all(_is_id(each) for each in value):
            return tuple(value)
        self.refuse(key, "a token id, a list of them, or null")
        return default

    def raise_problems(self, where: str) -> None:
        """Raise one `ConfigError` that lists what was noted, if anything was."""
        if self.problems:
            count = "" if len(self.problems) == 1 else f"{len(self.problems)} problems: "
            raise ConfigError(f"{where}: {count}{'; '.join(self.problems)}")


def _is_id(value: object) -> bool:
    return type(value) is int and -1 <= value <= _MAX_ID  # -1 is how some files say "none"


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond float64
        return False
