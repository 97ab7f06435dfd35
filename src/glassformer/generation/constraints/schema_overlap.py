"""Whether the branches of `oneOf` exclude each other: only then is it the same as `anyOf`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

EVERYTHING = ("object", "array", "string", "number", "integer", "boolean", "null")
Resolve = Callable[[object], object]  # follows references


@dataclass(frozen=True)
class Branch:
    """What a branch says that may exclude another one.

    Attributes:
        constants: the values of `const` or `enum`; None where there are none.
        types: that a value may have; none: no value fulfils the branch.
        named: of an object, the properties that are required and have constants, with these.
    """

    constants: frozenset[str] | None
    types: frozenset[str]
    named: Mapping[str, frozenset[str]]


def overlapping(branches: Sequence[object], resolve: Resolve) -> tuple[int, int] | None:
    """Two branches that are not known to exclude each other; None if all do."""
    found = [branch_of(resolve(branch), resolve) for branch in branches]
    for place, one in enumerate(found):
        for before in range(place):
            if not disjoint(found[before], one):
                return before, place
    return None


def branch_of(schema: object, resolve: Resolve) -> Branch:
    """What a schema says."""
    if schema is False:
        return Branch(None, frozenset(), {})
    if not isinstance(schema, Mapping):
        return Branch(None, frozenset(EVERYTHING), {})
    found, properties = types(schema), schema.get("properties")
    named = {}
    if found == {"object"} and isinstance(properties, Mapping):
        named = {name: constants(resolve(properties[name])) for name in _names(schema)}
    known = {name: each for name, each in named.items() if each is not None}
    return Branch(constants(schema), frozenset(found), known)


def disjoint(one: Branch, other: Branch) -> bool:
    """Whether no value fulfils both: other types, other constants, or other constants in a property of both."""
    if one.constants is not None and other.constants is not None:
        return one.constants.isdisjoint(other.constants)
    if one.types.isdisjoint(other.types):
        return True
    return any(name in other.named and values.isdisjoint(other.named[name]) for name, values in one.named.items())


def _names(schema: Mapping[str, object]) -> set[str]:
    """Properties that are described and required."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, Mapping) or not isinstance(required, list | tuple):
        return set()
    return {name for name in required if isinstance(name, str) and name in properties}


def constants(schema: object) -> frozenset[str] | None:
    """The values of `const` or `enum`, in a form that can be compared; None if there are none."""
    if not isinstance(schema, Mapping):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list | tuple):
        return None
    return frozenset(json.dumps(plain(value), sort_keys=True, default=repr) for value in values)


def plain(value: object) -> object:
    """A value whose whole numbers are integers: JSON Schema holds 1 and 1.0 to be equal."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def types(schema: Mapping[str, object]) -> set[str]:
    """The types that a value may have: all where the schema does not say; a whole number is a number too."""
    constant = constants(schema)
    if constant is not None:
        return {type_of(json.loads(each)) for each in constant}
    named = schema.get("type", EVERYTHING)
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
