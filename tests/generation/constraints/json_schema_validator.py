"""A validator of JSON Schema that shares nothing with what is tested: the definitions, keyword by keyword."""

import json
import math
import re
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

KINDS: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "number": (int, float),
    "integer": (int, float),
}  # fmt: skip


def is_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, KINDS[kind]) and (kind != "integer" or float(value).is_integer())


def same(one: Any, other: Any) -> bool:
    """Equality of JSON, where True is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def is_formatted(text: str, name: str) -> bool:
    try:
        if name == "date":
            return date.fromisoformat(text) is not None
        if name == "time":
            return time.fromisoformat(text).tzinfo is not None
        if name == "date-time":
            return datetime.fromisoformat(text).tzinfo is not None
        if name == "uuid":
            return str(UUID(text)) == text
    except ValueError:
        return False
    return bool(re.fullmatch({"email": r"[^@\s]+@[^@\s]+\.\w+", "ipv4": r"(\d+\.){3}\d+"}[name], text))


def valid(value: Any, schema: Any, root: Any = None) -> bool:
    """Whether a value fulfils a schema."""
    root = schema if root is None else root
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].split("/")[1:]:
            target = target[part.replace("~1", "/").replace("~0", "~")]
        return valid(value, target, root)
    kinds = schema.get("type", list(KINDS))
    checks = [
        any(is_kind(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)),
        "const" not in schema or same(value, schema["const"]),
        "enum" not in schema or any(same(value, each) for each in schema["enum"]),
        "anyOf" not in schema or any(valid(value, each, root) for each in schema["anyOf"]),
        "oneOf" not in schema or sum(valid(value, each, root) for each in schema["oneOf"]) == 1,
        all(valid(value, each, root) for each in schema.get("allOf", ())),
        not isinstance(value, dict) or valid_object(value, schema, root),
        not isinstance(value, list) or valid_array(value, schema, root),
        not isinstance(value, str) or valid_string(value, schema),
        not is_kind(value, "number") or valid_number(value, schema),
    ]
    return all(checks)


def valid_object(value: dict[str, Any], schema: Any, root: Any) -> bool:
    described = schema.get("properties", {})
    return all(name in value for name in schema.get("required", ())) and all(
        valid(each, described.get(name, schema.get("additionalProperties", True)), root) for name, each in value.items()
    )


def valid_array(value: list[Any], schema: Any, root: Any) -> bool:
    prefix = schema.get("prefixItems", [])
    rest = schema.get("items", True)
    return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf) and all(
        valid(each, prefix[place] if place < len(prefix) else rest, root) for place, each in enumerate(value)
    )


def valid_string(value: str, schema: Any) -> bool:
    return (
        schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
        and ("pattern" not in schema or bool(re.search(schema["pattern"], value)))
        and ("format" not in schema or is_formatted(value, schema["format"]))
    )


def valid_number(value: float, schema: Any) -> bool:
    return (
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )
