"""A validator of JSON Schema that shares nothing with what is tested: the definitions, keyword by keyword."""

import json
import math
import re
from datetime import date, datetime, time
from ipaddress import ip_address
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
        if name in ("ipv4", "ipv6"):
            return ip_address(text).version == int(name[-1])
    except ValueError:
        return False
    if name == "email":
        person, _, host = text.partition("@")
        return len(person) <= 64 and is_formatted(host, "hostname") and "." in host
    if name == "hostname":
        parts = text.split(".")
        return len(text) <= 253 and all(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", part) for part in parts)
    return is_duration(text)


def is_duration(text: str) -> bool:
    """RFC 3339, appendix A: weeks alone, or units from large to small, of which none is left out in between."""
    parts = re.fullmatch(r"P(?:(\d+W)|((?:\d+[YMD])*)(?:T((?:\d+[HMS])+))?)", text)
    if parts is None:
        return False
    date_units, time_units = (re.sub(r"\d+", "", part or "") for part in parts.group(2, 3))
    return bool(parts[1] or date_units + time_units) and date_units in "YMD" and time_units in "HMS"


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
