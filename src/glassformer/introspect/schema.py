"""The JSON Schema (draft 2020-12) of interventions, made from the classes themselves.

It says what a reader accepts before it knows the model; that names, ranges and shapes fit is checked against the model.
"""

from __future__ import annotations

from typing import Any

from glassformer.introspect.documents import MOST
from glassformer.introspect.interventions import KINDS, LONGEST_NAME, SELECTORS, Intervention
from glassformer.introspect.numbers import DIMENSION, MOST_AXES
from glassformer.introspect.selectors import LARGEST, PARTS
from glassformer.introspect.selectors import MOST as MOST_SELECTED

Object = dict[str, Any]

BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


def schema() -> Object:
    """The schema of a document: an intervention, or an object with a list of them."""
    several = {"type": "array", "maxItems": MOST, "items": {"$ref": "#/$defs/intervention"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Interventions of Glassformer",
        "description": "What is changed while a model runs, in the order in which it happens.",
        "oneOf": [{"$ref": "#/$defs/intervention"}, closed({"interventions": several}, ["interventions"])],
        "$defs": {
            "intervention": {"oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in KINDS]},
            **{kind: of_kind(kind, made) for kind, made in KINDS.items()},
            "selector": selector(LARGEST),
            "steps": selector(LARGEST, least=0),
            "numbers": numbers(),
        },
    }


def of_kind(kind: str, made: type[Intervention]) -> Object:
    """The schema of one kind of intervention."""
    properties: Object = {
        "kind": {"const": kind},
        "site": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME},
    }
    properties |= {name: {"$ref": f"#/$defs/{'steps' if name == 'step' else 'selector'}"} for name in SELECTORS}
    needed = ["kind", "site"]
    if made.carries is not None:
        properties[made.carries] = {"type": "number"} if made.carries == "factor" else {"$ref": "#/$defs/numbers"}
        needed.append(made.carries)
    said = " ".join((made.__doc__ or "").split("\n\n")[0].split())
    return {"description": said, **closed(properties, needed)}


def selector(largest: int, least: int | None = None) -> Object:
    """A whole number, a list of different ones, or a slice."""
    number = {"type": "integer", "minimum": -largest if least is None else least, "maximum": largest - 1}
    parts = dict.fromkeys(PARTS, number) | {"step": number | {"minimum": 1}}
    several = {"type": "array", "items": number, "minItems": 1, "maxItems": MOST_SELECTED, "uniqueItems": True}
    return {"oneOf": [number, several, closed(parts, [])]}


def numbers() -> Object:
    """A number, or a shape with little-endian float32 numbers in base64."""
    size = {"type": "integer", "minimum": 1, "maximum": DIMENSION - 1}
    shape = {"type": "array", "items": size, "minItems": 1, "maxItems": MOST_AXES}
    text = {"type": "string", "contentEncoding": "base64", "pattern": BASE64}
    return {"oneOf": [{"type": "number"}, closed({"shape": shape, "float32": text}, ["shape", "float32"])]}


def closed(properties: Object, needed: list[str]) -> Object:
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}
