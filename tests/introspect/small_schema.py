"""The part of JSON Schema (draft 2020-12) that the schema of interventions uses; an unknown keyword is an error."""

import re
from typing import Any

SAID = {"$schema", "title", "description", "$defs", "contentEncoding"}
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
}  # fmt: skip


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any] | None = None) -> bool:
    """Whether a value fits a schema."""
    root = schema if root is None else root
    return all(fits(keyword, given, value, schema, root) for keyword, given in schema.items() if keyword not in SAID)


def fits(keyword: str, given: Any, value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a value fits one keyword; most are about values of one type alone."""
    match keyword:
        case "$ref":
            return accepts(root["$defs"][given.removeprefix("#/$defs/")], value, root)
        case "oneOf":
            return sum(accepts(each, value, root) for each in given) == 1
        case "const":
            return bool(value == given)
        case "type":
            return isinstance(value, TYPES[given]) and not isinstance(value, bool)
        case "required":
            return not isinstance(value, dict) or set(given) <= set(value)
        case "properties":
            known = {} if not isinstance(value, dict) else value
            return all(accepts(each, known[name], root) for name, each in given.items() if name in known)
        case "additionalProperties":
            assert given is False
            return not isinstance(value, dict) or set(value) <= set(schema["properties"])
        case "items":
            return not isinstance(value, list) or all(accepts(given, each, root) for each in value)
        case "uniqueItems":
            return not isinstance(value, list) or len({repr(each) for each in value}) == len(value)
        case "minItems" | "maxItems" | "minLength" | "maxLength":
            sized = isinstance(value, list if keyword.endswith("Items") else str)
            return not sized or (len(value) >= given if keyword.startswith("min") else len(value) <= given)
        case "minimum" | "maximum":
            return not isinstance(value, int | float) or (value >= given if keyword == "minimum" else value <= given)
        case "pattern":
            return not isinstance(value, str) or re.search(given, value) is not None
    raise AssertionError(f"the keyword {keyword} is not known here")
