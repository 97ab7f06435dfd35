"""What is written under a schema validates, whatever the network wants."""

import json
import re
from typing import Any

import pytest
from json_schema_validator import valid

import glassformer
from glassformer.generation.constraints.constraint import JsonObject, JsonSchema
from glassformer.generation.constraints.formats import FORMATS
from glassformer.model import Model

PERSON = {
    "$defs": {"tag": {"type": "string", "minLength": 1, "maxLength": 6}},
    "type": "object",
    "title": "Person",
    "properties": {
        "name": {"type": "string", "description": "as on paper"},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "mood": {"enum": ["good", "bad", None, 3, {"é": ["\\", '"']}]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 3},
        'a "b"': {"type": ["boolean", "null"]},
    },
    "required": ["name", "tags"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "number", "exclusiveMinimum": -2.5, "maximum": 10},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "more": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["value", "left"],
        }
    },
    "$ref": "#/$defs/node",
}
SHAPES = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "minimum": 0}},
            "required": ["kind", "radius"],
        },
        {
            "type": "object",
            "properties": {"kind": {"enum": ["square", "box"]}, "side": {"type": "integer", "exclusiveMinimum": 0}},
            "required": ["kind", "side"],
        },
        {"type": "string", "pattern": "^[a-z]+-\\d{2}$"},
    ]
}
SCHEMAS: dict[str, Any] = {
    "person": PERSON,
    "tree": TREE,
    "shapes": SHAPES,
    "anything": True,
    "object": {"type": "object"},
    "map": {"type": "object", "properties": {"id": {"const": 1}}, "additionalProperties": {"type": "boolean"}},
    "required alone": {"type": "object", "required": ["x", "y"]},
    "named in passing": {"properties": {"x": {}}, "required": ["x", "z"], "additionalProperties": {"type": "null"}},
    "tuple": {"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}], "items": False, "minItems": 1},
    "open tuple": {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "integer"}, "minItems": 3},
    "short": {"type": "array", "prefixItems": [{"type": "null"}, True], "maxItems": 1},
    "empty": {"type": "array", "maxItems": 0},
    "code": {"type": "string", "pattern": "b[0-9]", "minLength": 3, "maxLength": 5},
    "escapes": {"type": "string", "pattern": '^["\\\\\\n\\x00/é]{1,4}$'},
    "dates": {"type": "array", "items": {"type": "string", "format": "date"}, "minItems": 2, "maxItems": 2},
    "moment": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "uuid": {"type": "string", "format": "uuid"},
    "email": {"type": "string", "format": "email"},
    "ipv4": {"type": "string", "format": "ipv4"},
    "ipv6": {"type": "string", "format": "ipv6"},
    "hostname": {"type": "string", "format": "hostname"},
    "duration": {"type": "string", "format": "duration"},
    "probability": {"type": "number", "minimum": 0, "maximum": 1},
    "between": {"type": "number", "exclusiveMinimum": 0.25, "exclusiveMaximum": 0.5},
    "any number": {"type": ["integer", "number"]},
    "one of all": {"allOf": [{"type": "integer", "maximum": -7}]},
    "pointer": {"type": "object", "properties": {"a/b~": {"type": "null"}, "c": {"$ref": "#/properties/a~1b~0"}}},
}


@pytest.fixture(scope="module")
def story() -> Model:
    return glassformer.load()


@pytest.mark.parametrize("name", SCHEMAS)
def test_everything_written_validates(name: str, piece_model: Any) -> None:
    schema, model = SCHEMAS[name], piece_model()
    constraint = JsonSchema(schema)
    texts = set()
    for place, temperature in enumerate((0, 1, 5, 5)):
        tokens = (40, 60, 90, 250)[place]
        written = model.generate(
            [1 + place], constraint=constraint, temperature=temperature, seed=place, max_new_tokens=tokens
        )
        assert written.finish_reason == "stop", written.text
        assert valid(json.loads(written.text), schema), written.text
        texts.add(written.text)
    assert len(texts) > 1 or name in ("empty", "short", "tuple")


@pytest.mark.parametrize("temperature", [0, 1, 5])
def test_the_story_model_writes_json(temperature: float, story: Model) -> None:
    for schema in (PERSON, TREE, SHAPES):
        written = story.generate(
            "Once upon a time", constraint=JsonSchema(schema), temperature=temperature, seed=4, max_new_tokens=90
        )
        assert written.finish_reason == "stop"
        assert valid(json.loads(written.text), schema), written.text
    written = story.generate("Once", constraint=JsonObject(), temperature=temperature, seed=4, max_new_tokens=40)
    assert isinstance(json.loads(written.text), dict)


def test_properties_come_in_the_order_of_the_schema_and_white_space_is_one_space_at_most(piece_model: Any) -> None:
    schema = {"properties": {name: {"type": "array", "items": {"type": "null"}} for name in "cab"}, "required": ["b"]}
    for seed in range(5):
        text = piece_model().generate([seed], constraint=JsonSchema(schema), temperature=3.0, seed=seed).text
        value = json.loads(text)
        assert list(value) == [name for name in "cab" if name in value]
        assert text.replace(": ", ":").replace(", ", ",") == json.dumps(value, separators=(",", ":"))


def test_repeated_names_do_not_hide_what_was_asked(piece_model: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": True}
    machine_model = piece_model()
    for seed in range(4):
        text = machine_model.generate([seed], constraint=JsonSchema(schema), temperature=5.0, seed=seed).text
        assert json.loads(text)["a"] == 1
    with pytest.raises(ValueError, match="not allowed"):
        accepted('{"a":1,"a":2}', schema)
    assert accepted('{"a":1,"b":2,"ab":[{}]}', schema)


def accepted(text: str, schema: object) -> bool:
    """Whether a text can be written under a schema; ValueError where a byte is not allowed."""
    from glassformer.generation.constraints.machine import Machine

    machine = Machine(JsonSchema(schema).grammar, [True] * 256)  # type: ignore[arg-type]
    state = machine.after(machine.start, text.encode())
    if state is None:
        raise ValueError("not allowed")
    return state.accepting


@pytest.mark.parametrize("depth", [1, 30, 60])
def test_nesting_is_followed_as_deep_as_it_is_documented(depth: int) -> None:
    assert accepted("[" * depth + "]" * depth, {"type": "array"})
    with pytest.raises(ValueError, match="not allowed"):
        accepted("[" * 80, {"type": "array"})


def test_addresses_are_no_longer_than_mail_allows() -> None:
    longest = re.compile(FORMATS["email"])
    assert longest.fullmatch(".".join(["a" * 15] * 4) + "@b.cd")
    assert not longest.fullmatch(".".join(["a" * 32] * 3) + "@b.cd"), "64 characters before the @ (RFC 5321)"
    assert not longest.fullmatch("a@" + ".".join(["b" * 63] * 4) + ".cd"), "253 characters behind it"
