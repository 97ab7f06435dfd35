"""Objects and arrays of a schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from glassformer.generation.constraints.automaton import combined
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.grammar import Chain, Either, Many, Node, Rule, Text
from glassformer.generation.constraints.json_text import (
    ANY_VALUE,
    COLON,
    COMMA,
    any_key,
    members,
    named,
    object_of,
    spelled,
    text,
)
from glassformer.generation.constraints.pattern import one_of
from glassformer.generation.constraints.schema_fields import Fields

# Makes a node of a schema, its place and how deep it lies.
Read = Callable[[object, str, int], Node]
MAX_PROPERTIES = 1_000
PROPERTY_EFFORT = 400  # steps


def object_node(fields: Fields, read: Read) -> Node:
    """`type: object`: its properties in the order in which the schema names them, then additional ones."""
    if not any(name in fields.values for name in ("properties", "required", "additionalProperties")):
        return object_of(Rule(ANY_VALUE))
    properties, required = fields.mapping("properties"), _required(fields)
    if len(properties) + len(required) > MAX_PROPERTIES:
        raise fields.fail("properties", f"more than {MAX_PROPERTIES} properties are not supported")
    below = fields.below("properties", properties)
    parts = [
        (name, name in required, read(schema, below.at(name), fields.depth + 1)) for name, schema in properties.items()
    ]
    additional = _additional(fields, read)
    for name in required:
        if name in properties:
            continue
        if additional is None and "additionalProperties" in fields.values:
            raise fields.fail("required", f"{name!r:.80} is not among the properties, and no others are allowed")
        parts.append((name, True, additional or Rule(ANY_VALUE)))
    return _members(fields, parts, additional)


def _required(fields: Fields) -> list[str]:
    found = fields.sequence("required")
    if not all(isinstance(name, str) for name in found):
        raise fields.wrong("required", "a list of strings")
    return list(dict.fromkeys(str(name) for name in found))


def _additional(fields: Fields, read: Read) -> Node | None:
    """The value of additional properties; None where there are none. None are made unless the schema asks for them."""
    schema = fields.values.get("additionalProperties", False)
    if schema is False:
        return None
    return read(schema, fields.at("additionalProperties"), fields.depth + 1)


def _members(fields: Fields, parts: Sequence[tuple[str, bool, Node]], additional: Node | None) -> Node:
    """The object, built from its end: what may follow at the beginning of it, and what behind another property."""
    first, later = _ending(fields, [name for name, _, _ in parts], additional)
    for name, required, value in reversed(parts):
        fields.effort.spend(PROPERTY_EFFORT + 10 * len(name))
        try:
            key = re.escape(spelled(name).decode()) + COLON
        except ConstraintError as error:
            raise fields.fail("properties", str(error)) from None
        opened, continued = (Chain((text(before + key), value, later)) for before in (r"\{", COMMA))
        first, later = (opened, continued) if required else (Either((opened, first)), Either((continued, later)))
    return first


def _ending(fields: Fields, names: Sequence[str], additional: Node | None) -> tuple[Node, Node]:
    """What may come where no property was written, and where one was."""
    if additional is None:
        return text(r"\{\}"), text(r"\}")
    key = any_key()
    if names:
        try:
            taken = named(one_of(names), fields.effort)
            key = combined(key, taken, False, "the names of additional properties", fields.effort)
        except ConstraintError as error:
            raise fields.fail("additionalProperties", str(error)) from None
    entry = Chain((Text(key), additional))
    further = Many(Chain((text(COMMA), entry)), 0, None)
    return members(r"\{", entry, r"\}"), Chain((further, text(r"\}")))


def array_node(fields: Fields, read: Read) -> Node:
    """`type: array`."""
    least, most = fields.counts("minItems", "maxItems")
    if fields.values.get("uniqueItems", False) is not False:
        raise fields.fail("uniqueItems", "items cannot be held to be unique; leave this out, and check the result")
    if isinstance(fields.values.get("items"), list | tuple):
        raise fields.fail("items", "a list of schemas is written as prefixItems now")
    below = fields.below("prefixItems", {})
    places = fields.several("prefixItems") if "prefixItems" in fields.values else []
    prefix = [read(each, below.at(place), fields.depth + 1) for place, each in enumerate(places)][:most]
    item = _item(fields, read)
    if item is None and least > len(prefix):
        raise fields.fail("minItems", f"{least} items are asked for, and only {len(prefix)} are allowed")
    return _items(prefix, item, least, most)


def _item(fields: Fields, read: Read) -> Node | None:
    """Items behind those of `prefixItems`; None where there are none."""
    if "items" not in fields.values:
        return None if "prefixItems" in fields.values else Rule(ANY_VALUE)
    schema = fields.values["items"]
    return None if schema is False else read(schema, fields.at("items"), fields.depth + 1)


def _items(prefix: Sequence[Node], item: Node | None, least: int, most: int | None) -> Node:
    """The array, built from its end."""
    place = len(prefix)
    after: Node = text(r"\]")  # what follows `place` items
    if item is not None and most != place:
        bounds = max(0, least - place - 1), None if most is None else most - place - 1
        further = Many(Chain((text(COMMA), item)), *bounds)
        more = Chain((text(COMMA if place else r"\["), item, further, after))
        after = _or_end(more, place, least)
    elif place == 0:
        return text(r"\[\]")
    while place:
        place -= 1
        more = Chain((text(COMMA if place else r"\["), prefix[place], after))
        after = _or_end(more, place, least)
    return after


def _or_end(more: Node, place: int, least: int) -> Node:
    """More items, or the end if there are enough."""
    return more if place < least else Either((more, text(r"\]" if place else r"\[\]")))
