"""Whether the branches of `oneOf` exclude each other: only then is it the same as `anyOf`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

Resolve = Callable[[object], object]  # follows references


def overlapping(branches: Sequence[object], resolve: Resolve) -> tuple[int, int] | None:
    """Two branches that are not known to exclude each other; None if all do."""
    found = [resolve(branch) for branch in branches]
    for place, one in enumerate(found):
        for before in range(place):
            if not disjoint(found[before], one, resolve):
                return before, place
    return None


def disjoint(one: object, other: object, resolve: Resolve) -> bool:
    """Whether no value fulfils both: other types, other constants, or other constants in a property of both."""
    if one is False or other is False:
        return True
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False
    left, right = constants(one), constants(other)
    if left is not None and right is not None:
        return not left & right
    if not types(one) & types(other):
        return True
    return _told_apart(one, other, resolve)


def _told_apart(one: Mapping[str, object], other: Mapping[str, object], resolve: Resolve) -> bool:
    """Whether both are objects with a required property that has other constants in each."""
    if types(one) != {"object"} or types(other) != {"object"}:
        return False
    for name in _names(one) & _names(other):
        values = [constants(resolve(each["properties"][name])) for each in (one, other)]  # type: ignore[index]
        if values[0] is not None and values[1] is not None and not values[0] & values[1]:
            return True
    return False


def _names(schema: Mapping[str, object]) -> set[str]:
    """Properties that are described and required."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, Mapping) or not isinstance(required, list | tuple):
        return set()
    return {name for name in required if isinstance(name, str) and name in properties}


def constants(schema: object) -> set[str] | None:
    """The values of `const` or `enum`, in a form that can be compared; None if there are none."""
    if not isinstance(schema, Mapping):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list | tuple):
        return None
    return {json.dumps(plain(value), sort_keys=True, default=repr) for value in values}


def plain(value: object) -> object:
    """A value whose whole numbers are integers: JSON Schema holds 1 and 1.0 to be equal."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def types(schema: Mapping[str, object]) -> set[str]:
    """The types that a value may have: all where the schema does not say; a whole number is a number too."""
    everything = {"object", "array", "string", "number", "integer", "boolean", "null"}
    constant = constants(schema)
    if constant is not None:
        return {type_of(json.loads(each)) for each in constant}
    named = schema.get("type", everything)
    found = {named} if isinstance(named, str) else {each for each in named if isinstance(each, str)}  # type: ignore[attr-defined]
    return found | {"integer"} if "number" in found else found


def type_of(value: object) -> str:
    """The type of a value, the narrower one of numbers."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    kinds = {float: "number", str: "string", type(None): "null"}
    if isinstance(value, Mapping):
        return "object"
    return kinds.get(type(value), "array")
