"""Schemas that are refused, each with the place of what is wrong."""

from typing import Any

import pytest

from glassformer.generation.constraints.constraint import Choice, JsonSchema, Regex
from glassformer.generation.constraints.errors import ConstraintError

CASES: list[tuple[Any, str, str]] = [
    ({"type": "integer", "multipleOf": 2}, "#/multipleOf", "not supported"),
    ({"properties": {"a": {"not": {}}}}, "#/properties/a/not", "not supported"),
    ({"properties": {"a/b": {"type": "text"}}}, "#/properties/a~1b/type", "one or more of object"),
    ({"type": []}, "#/type", "one or more"),
    ({"type": "string", "minimum": 3}, "#/minimum", "the type is string"),
    ({"type": "object", "patternProperties": {}}, "#/patternProperties", "not supported"),
    ({"type": "object", "minProperties": 1}, "#/minProperties", "not supported"),
    ({"properties": {"a": {"$id": "x"}}}, "#/properties/a/$id", "not supported"),
    ({"type": "array", "uniqueItems": True}, "#/uniqueItems", "unique"),
    ({"type": "array", "items": [{}]}, "#/items", "prefixItems"),
    ({"type": "array", "prefixItems": [{}], "minItems": 2}, "#/minItems", "only 1"),
    ({"type": "array", "minItems": 3, "maxItems": 2}, "#/minItems", "more than maxItems"),
    ({"type": "array", "items": {"contains": 1}}, "#/items/contains", "not supported"),
    ({"type": "string", "minLength": 3, "maxLength": 2}, "#/minLength", "more than maxLength"),
    ({"type": "string", "minLength": -1}, "#/minLength", "at least 0"),
    ({"type": "string", "maxLength": True}, "#/maxLength", "whole number"),
    ({"type": "string", "pattern": "(?=a)"}, "#/pattern", "lookahead"),
    ({"type": "string", "pattern": 3}, "#/pattern", "a string"),
    ({"type": "string", "pattern": "^a$", "minLength": 2}, "#/minLength", "no text matches"),
    ({"type": "string", "format": "uri"}, "#/format", "date-time"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "#/minimum", "leave no number"),
    ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4}, "#/exclusiveMinimum", "no whole number"),
    ({"type": "number", "minimum": float("nan")}, "#/minimum", "finite"),
    ({"type": "number", "minimum": 1e-12}, "#/minimum", "decimal places"),
    ({"type": "number", "exclusiveMinimum": 1, "maximum": 1}, "#/exclusiveMinimum", "leave no number"),
    ({"type": "integer", "exclusiveMinimum": True}, "#/exclusiveMinimum", "a number"),
    ({"type": "integer", "minimum": 10**31}, "#/minimum", "at most"),
    ({"enum": []}, "#/enum", "not empty"),
    ({"enum": [1], "type": "string"}, "#/enum", "none of the values"),
    ({"enum": [1], "minimum": 0}, "#/minimum", "only type"),
    ({"const": 1, "enum": [1]}, "#/enum", "beside const"),
    ({"const": float("inf")}, "#/const", "as JSON"),
    ({"const": "\ud800"}, "#/const", "as JSON"),
    ({"anyOf": []}, "#/anyOf", "not empty"),
    ({"anyOf": [{}], "type": "object"}, "#/type", "beside anyOf"),
    ({"allOf": [{}, {}]}, "#/allOf", "as one"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#/oneOf", "branches 0 and 1"),
    ({"oneOf": [{"const": 1}, {"enum": ["a", 1.0]}]}, "#/oneOf", "both match"),
    ({"anyOf": [True, {"oneOf": [{"type": "object"}, {"required": ["a"]}]}]}, "#/anyOf/1/oneOf", "both match"),
    ({"$ref": "other.json"}, "#/$ref", "within the schema"),
    ({"$ref": "#/$defs/none"}, "#/$ref", "names nothing"),
    ({"$ref": "#/$defs/a", "$defs": {"a": 3}}, "#/$defs/a", "object or a boolean"),
    ({"$ref": "#/$defs/a", "type": "object", "$defs": {"a": {}}}, "#/type", "beside [$]ref"),
    ({"type": "object", "required": ["a"], "additionalProperties": False}, "#/required", "not among"),
    ({"type": "object", "required": "a"}, "#/required", "a list"),
    ({"type": "object", "required": [1]}, "#/required", "list of strings"),
    ({"type": "object", "properties": []}, "#/properties", "an object"),
    ([], "#", "object or a boolean"),
    ("{}", "#", "object or a boolean"),
]


@pytest.mark.parametrize(("schema", "path", "what"), CASES, ids=lambda each: str(each)[:50])
def test_what_cannot_be_held_is_refused_at_its_place(schema: Any, path: str, what: str) -> None:
    with pytest.raises(ConstraintError, match=what) as caught:
        JsonSchema(schema)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("schema", [
    False,
    {"$ref": "#"},
    {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
    {"type": "object", "properties": {"a": False}, "required": ["a"]},
], ids=str)  # fmt: skip
def test_what_nothing_fulfils_is_refused(schema: Any) -> None:
    with pytest.raises(ConstraintError, match="no text fulfils"):
        JsonSchema(schema)


def test_notes_and_what_says_nothing_are_read() -> None:
    for schema in ({"title": "x", "$id": "http://x", "default": 3, "examples": []}, {"uniqueItems": False}, {}):
        assert JsonSchema(schema) == JsonSchema(dict(schema))


def test_choices_are_texts() -> None:
    for wrong in ([], ["a", ""], ["\ud800"], "abc", [1]):
        with pytest.raises(ConstraintError):
            Choice(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConstraintError, match="a pattern is a string"):
        Regex(3)  # type: ignore[arg-type]
    with pytest.raises(ConstraintError, match="no text matches"):
        Regex(r"[^\s\S]")
