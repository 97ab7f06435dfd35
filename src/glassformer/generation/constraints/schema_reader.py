"""From a JSON Schema to a grammar. What is not supported is refused with its place, never passed over."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from glassformer.generation.constraints.effort import Effort
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.grammar import Either, Grammar, Node, Rule
from glassformer.generation.constraints.json_text import ANY_VALUE, any_value, text, values
from glassformer.generation.constraints.schema_containers import array_node, object_node
from glassformer.generation.constraints.schema_fields import Fields
from glassformer.generation.constraints.schema_overlap import overlapping, type_of
from glassformer.generation.constraints.schema_scalars import integer, number, string

DEEPEST, MAX_SCHEMAS = 100, 10_000
SCHEMA_EFFORT = 100  # steps
# Says nothing about the value.
NOTES = frozenset(
    ("title", "description", "default", "examples", "$schema", "$comment", "deprecated", "readOnly", "writeOnly",
     "$defs", "definitions", "discriminator")
)  # fmt: skip
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
KEYWORDS = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": BOUNDS,
    "integer": BOUNDS,
    "boolean": (),
    "null": (),
}
ALONE = ("$ref", "anyOf", "oneOf", "allOf")  # beside these, only notes
CONSTANTS = ("const", "enum")


def grammar_of(schema: object) -> Grammar:
    """The grammar of a schema.

    Raises:
        ConstraintError: naming the place of what is malformed, contradictory or not supported.
    """
    return _SchemaReader(schema).grammar()


class _SchemaReader:
    """Reads one schema, and what it refers to."""

    def __init__(self, root: object) -> None:
        self._root, self._count, self._effort = root, 0, Effort()
        self._rules: dict[str, Node] = {ANY_VALUE: any_value()}
        self._waiting: list[str] = []

    def grammar(self) -> Grammar:
        start = self._node(self._root, "#", 0)
        while self._waiting:
            pointer = self._waiting.pop()
            self._rules[pointer] = self._node(self._at(pointer, "$ref"), pointer, 0)
        return Grammar(start, self._rules)

    def _node(self, schema: object, path: str, depth: int) -> Node:
        """What a schema allows; whatever is wrong with it is said with its place."""
        try:
            return self._read(schema, path, depth)
        except ConstraintError as error:
            if error.path:
                raise
            raise ConstraintError(str(error), path) from None

    def _read(self, schema: object, path: str, depth: int) -> Node:
        self._count += 1
        self._effort.spend(SCHEMA_EFFORT)
        if depth > DEEPEST or self._count > MAX_SCHEMAS:
            raise ConstraintError(f"more than {DEEPEST} schemas in each other, or {MAX_SCHEMAS} in all", path)
        if isinstance(schema, bool):
            return Rule(ANY_VALUE) if schema else Either(())
        if not isinstance(schema, Mapping) or not all(isinstance(name, str) for name in schema):
            raise ConstraintError(f"a schema is an object or a boolean, found {schema!r:.80}", path)
        ignored = NOTES | {"$id"} if path == "#" else NOTES
        kept = {name: value for name, value in schema.items() if name not in ignored}
        fields = Fields(kept, path, depth, self._effort)
        for keyword in ALONE:
            if keyword in fields.values:
                return self._alone(fields, keyword)
        if any(keyword in fields.values for keyword in CONSTANTS):
            return _constants(fields)
        return self._typed(fields)

    def _alone(self, fields: Fields, keyword: str) -> Node:
        """A schema that is one reference or a list of branches."""
        beside = [name for name in fields.values if name != keyword]
        if beside:
            raise fields.fail(beside[0], f"beside {keyword} this is not supported; put it into the schema there")
        if keyword == "$ref":
            return self._reference(fields)
        branches = fields.several(keyword)
        if keyword == "allOf" and len(branches) > 1:
            raise fields.fail(keyword, "several schemas at once are not supported; write them as one")
        if keyword == "oneOf":
            self._check_exclusive(fields, branches)
        below = fields.below(keyword, {})
        nodes = [self._node(each, below.at(place), fields.depth + 1) for place, each in enumerate(branches)]
        return nodes[0] if len(nodes) == 1 else Either(tuple(nodes))

    def _check_exclusive(self, fields: Fields, branches: list[object]) -> None:
        self._effort.spend(len(branches) ** 2)
        found = overlapping(branches, self._resolved)
        if found:
            raise fields.fail(
                "oneOf",
                f"branches {found[0]} and {found[1]} may both match; let them differ in `type`, or in a required "
                "property with `const`, or write anyOf",
            )

    def _resolved(self, schema: object) -> object:
        """What a chain of references leads to."""
        for _ in range(DEEPEST):
            if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
                return schema
            schema = self._at(schema["$ref"], "$ref")
        return True

    def _reference(self, fields: Fields) -> Node:
        pointer = fields.string("$ref") or ""
        self._at(pointer, fields.at("$ref"))
        if pointer not in self._rules:
            self._rules[pointer] = Either(())  # until it is read
            self._waiting.append(pointer)
        return Rule(pointer)

    def _at(self, pointer: str, path: str) -> object:
        """The schema that a local reference names (RFC 6901)."""
        if pointer != "#" and not pointer.startswith("#/"):
            raise ConstraintError(f"only references within the schema, such as #/$defs/x; found {pointer!r:.80}", path)
        found = self._root
        for part in unquote(pointer[2:]).split("/") if pointer != "#" else ():
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list | tuple) and name.isdecimal() and name.isascii() and int(name[:9]) < len(found):
                found = found[int(name[:9])]
            else:
                raise ConstraintError(f"{pointer!r:.80} names nothing in the schema", path)
        return found

    def _typed(self, fields: Fields) -> Node:
        """A schema with a type, or with keywords of one."""
        types = _types(fields)
        known = {"type"} | {keyword for each in types for keyword in KEYWORDS[each]}
        for keyword in fields.values:
            if keyword not in known:
                raise fields.fail(keyword, _unsupported(keyword, types))
        if not fields.values:
            return Rule(ANY_VALUE)
        nodes = [self._of_type(fields, each) for each in types if not (each == "integer" and "number" in types)]
        return nodes[0] if len(nodes) == 1 else Either(tuple(nodes))

    def _of_type(self, fields: Fields, name: str) -> Node:
        if name == "object":
            return object_node(fields, self._node)
        if name == "array":
            return array_node(fields, self._node)
        if name == "boolean":
            return text("true|false")
        if name == "null":
            return text("null")
        return {"string": string, "number": number, "integer": integer}[name](fields)


def _types(fields: Fields) -> list[str]:
    """The types of a schema. Where it names none, its keywords do; where these name none, it may be of any."""
    named = fields.values.get("type")
    if "type" in fields.values:
        found = list(named) if isinstance(named, list | tuple) and named else [named]
        if not all(isinstance(each, str) and each in KEYWORDS for each in found):
            raise fields.wrong("type", f"one or more of {', '.join(KEYWORDS)}")
        return list(dict.fromkeys(str(each) for each in found))
    meant = [name for name, keywords in KEYWORDS.items() if any(each in fields.values for each in keywords)]
    return [name for name in meant if name != "integer"]


def _unsupported(keyword: str, types: list[str]) -> str:
    """Why a keyword is refused."""
    owners = [name for name, keywords in KEYWORDS.items() if keyword in keywords]
    if owners:
        return f"this is for {' and '.join(owners)}, and the type is {' or '.join(types)}"
    known = sorted({each for keywords in KEYWORDS.values() for each in keywords} | {"type", *ALONE, *CONSTANTS})
    return f"this keyword is not supported; known are {', '.join(known)}"


def _constants(fields: Fields) -> Node:
    """`const` or `enum`, of the types that stand beside them."""
    for keyword in fields.values:
        if keyword not in (*CONSTANTS, "type"):
            raise fields.fail(keyword, "beside const and enum only type is supported")
    if all(keyword in fields.values for keyword in CONSTANTS):
        raise fields.fail("enum", "beside const this is not supported; leave one of them")
    keyword = "const" if "const" in fields.values else "enum"
    found = [fields.values["const"]] if keyword == "const" else fields.several("enum")
    if "type" in fields.values:
        types = _types(fields)
        kinds = {*types, "integer"} if "number" in types else set(types)
        found = [value for value in found if type_of(value) in kinds]
        if not found:
            raise fields.fail(keyword, f"none of the values is of type {' or '.join(types)}")
    try:
        return values(found, fields.effort)
    except ConstraintError as error:
        raise fields.fail(keyword, str(error)) from None
