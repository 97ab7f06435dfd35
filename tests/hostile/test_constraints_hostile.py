"""Constraints that somebody wrote to do harm: each is refused, or works, in bounded time and memory."""

import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import glassformer
from glassformer.generation.constraints import schema_reader
from glassformer.generation.constraints.constraint import Choice, Constraint, JsonObject, JsonSchema, Regex
from glassformer.generation.constraints.effort import MOST_EFFORT, Effort
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.model import Model

SECONDS, BYTES = 5.0, 150 << 20  # generous: the machine may be busy


@contextmanager
def bounded() -> Iterator[None]:
    """A block that takes little time, and little memory beyond the most that the process ever had."""
    start, most = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - start < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most) * 1024 < BYTES


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def wide(count: int, **each: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {f"name {place}": {"type": "string", **each} for place in range(count)}}


REFUSED_PATTERNS = {
    "too many states": "(a|b)*a(a|b){20}",
    "repeats of repeats": "((a{100}){100}){100}",
    "repeats of nothing": "(){100000}(){100000}",
    "optional parts": "(a?){3000}a{3000}",
    "deep groups": "(" * 5000 + "a" + ")" * 5000,
    "unclosed groups": "(" * 20_000,
    "a long pattern": "a" * 20_001,
    "long numbers": "a{" + "9" * 5000 + "}",
    "many stars": "(" * 90 + "a" + ")*" * 90 + "{100000}",
    "half a pair": "\ud800",
    "a quantifier of a quantifier": "a{1000}{1000}",
    "a count of counts": "(a{0,1000}){0,1000}",
    "a huge class often": "[" + "".join(chr(0x4E00 + 2 * place) for place in range(9000)) + "]{3}",
    "letters in any order": "(" + "|".join(f".*{letter}.*" for letter in "abcdefghijk") + ")*x" * 3,
    "large classes often": "[^a]{4000}b[^c]{4000}",
}
HARMLESS_PATTERNS = {
    "backtracking": "(a+)+b",
    "more backtracking": "(a|a)*(a|a)*(a|a)*b",
    "a star of a star": "(a*)*",
    "all but a huge class": "[^" + "".join(chr(0x4E00 + 2 * place) for place in range(9000)) + "]*",
    "dots and stars": "(.*)(.*)(.*)(.*)(.*)x",
    "names of machines": "^(([a-z])+.)+[A-Z]([a-z])+$",
    "stars in stars": "((((a*)*)*)*)*",
    "much of one thing": "[^\\n]{300}",
    "alternatives": "|".join(f"word{place}" for place in range(2000)),
    "controls": "[\\x00-\\x1f]{5}",
}


@pytest.mark.parametrize("name", REFUSED_PATTERNS)
def test_patterns_that_would_explode_are_refused(name: str) -> None:
    with bounded(), pytest.raises(ConstraintError):
        Regex(REFUSED_PATTERNS[name])


@pytest.mark.parametrize("name", HARMLESS_PATTERNS)
def test_patterns_that_make_others_slow_are_harmless(name: str, story: Model) -> None:
    with bounded():
        written = story.generate("a", constraint=Regex(HARMLESS_PATTERNS[name]), seed=1, max_new_tokens=8)
    assert len(written.ids) <= 8


def several(count: int, part: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    return {"type": "array", "prefixItems": [part(place) for place in range(count)]}


REFUSED_SCHEMAS: dict[str, Any] = {
    "deep": nested(101),
    "deeper": nested(900),
    "references in a circle": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "references to references": {"oneOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "no base": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "too many properties": wide(1001),
    "too long an enum": {"enum": [f"{place:04d}" * 10 for place in range(4_000)]},
    "too long a length": {"type": "string", "minLength": 10**9},
    "a large pattern of large length": {"type": "string", "pattern": "^(.a|b)*$", "maxLength": 90_000},
    "huge numbers": {"type": "integer", "minimum": 10**4000},
    "tiny numbers": {"type": "number", "minimum": 5e-324},
    "chains of rules": {
        "$ref": "#/$defs/0",
        "$defs": {str(i): {"type": "array", "items": {"$ref": f"#/$defs/{i + 1}"}, "minItems": 1} for i in range(200)}
        | {"200": {}},
    },
    "lone surrogates": {"enum": ["\udcff"]},
    "names that are no text": {"properties": {"\ud800": {}}},
    "pointers that lead astray": {"$ref": "#/$defs/99999999999999999999", "$defs": []},
    "a number as a name": {"properties": {1: {}}},
}
# Each part is harmless, and all together would take minutes.
MANY: dict[str, Any] = {
    "many costly patterns": several(200, lambda n: {"type": "string", "pattern": f"^(a|b)*a(a|b){{9}}c{n}$"}),
    "many patterns of great length": several(
        100, lambda n: {"type": "string", "pattern": "a[b-z]c[0-9]", "maxLength": 200 + n}
    ),
    "many long enums": several(30, lambda n: {"enum": [f"{n} value {place * 7919 % 10007}" for place in range(4000)]}),
    "many ranges": several(500, lambda n: {"type": "integer", "minimum": -(10**29) - n, "maximum": 10**29 + n}),
    "many branches that exclude each other": {"oneOf": [{"const": n} for n in range(3000)]},
    "many properties of many objects": several(
        20, lambda n: {"type": "object", "properties": {f"{n} {place}": True for place in range(490)}}
    ),
}
HARMLESS_SCHEMAS: dict[str, Any] = {
    "hundreds of optional properties": wide(150),
    "a long enum": {"enum": [f"value {place}" for place in range(2000)]},
    "branches upon branches": {"anyOf": [{"anyOf": [{"$ref": "#"}, {"type": "null"}]}, {"$ref": "#"}, {"const": 1}]},
    "arrays upon arrays": {"anyOf": [{"type": "array", "items": {"$ref": "#"}}] * 2},
    "as deep as may be": nested(60),
    "a long list": {"type": "array", "items": {"type": "null"}, "minItems": 100_000},
    "ambiguous alternatives": {"anyOf": [{"type": "string"}] * 300},
    "long strings": {"type": "string", "minLength": 100_000},
    "everything optional, in everything": {"additionalProperties": {"$ref": "#"}, "properties": wide(40)["properties"]},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_SCHEMAS)
def test_schemas_that_would_explode_are_refused(name: str) -> None:
    with bounded(), pytest.raises(ConstraintError) as caught:
        JsonSchema(REFUSED_SCHEMAS[name])
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("most", [100_000, pytest.param(MOST_EFFORT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MANY)
def test_small_parts_add_up(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_reader, "Effort", lambda: Effort(most))
    with bounded(), pytest.raises(ConstraintError, match=r"^#.*: the constraint takes more than .* steps"):
        JsonSchema(MANY[name])


@pytest.mark.parametrize("name", HARMLESS_SCHEMAS)
def test_large_schemas_work_in_bounds(name: str, story: Model) -> None:
    with bounded():
        constraint = JsonSchema(HARMLESS_SCHEMAS[name])
        written = story.generate("a", constraint=constraint, temperature=1.0, seed=1, max_new_tokens=25)
    assert len(written.ids) <= 25
    if written.finish_reason == "stop":
        json.loads(written.text)


def test_texts_nest_no_deeper_than_documented(story: Model) -> None:
    bracket = story.ids("[")[0]
    bias: dict[int, float] = {bracket: 100.0} | {
        token: 100.0 for token, data in story.known_tokenizer.vocabulary.tokens.items() if set(data) <= {ord("[")}
    }
    array: Constraint = JsonSchema({"type": "array"})
    with bounded():
        written = story.generate("a", constraint=array, logit_bias=bias, max_new_tokens=300)
    assert written.finish_reason == "stop"
    assert written.text.count("[") >= 60
    json.loads(written.text)


def test_many_constraints_leave_little_behind(story: Model) -> None:
    with bounded():
        for place in range(40):
            story.generate("a", constraint=Regex(f"[a-z ]{{3,9}}{place}"), seed=1, max_new_tokens=12)
    assert len(story._compiler._masks) <= 8


def test_choices_of_great_length_are_refused_and_shorter_ones_work(story: Model) -> None:
    with bounded(), pytest.raises(ConstraintError, match="longer than"):
        Choice([f"{place:04d}" * 10 for place in range(4000)])
    with bounded():
        assert (
            story.generate("a", constraint=Choice(["x" * 400, "y" * 400]), max_new_tokens=400).finish_reason == "stop"
        )


def test_after_all_this_the_model_writes_on(story: Model) -> None:
    assert json.loads(story.generate("Once", constraint=JsonObject(), seed=1, max_new_tokens=20).text) is not None


@pytest.fixture(scope="module")
def story() -> Model:
    return glassformer.load()
