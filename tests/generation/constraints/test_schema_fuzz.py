"""Schemas that nobody has thought of: what is written validates, or its reason says that it was cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_schema_validator import valid

import glassformer
from glassformer.generation.constraints.constraint import EVERY_BYTE, JsonSchema
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.formats import FORMATS
from glassformer.generation.constraints.machine import Machine
from glassformer.model import Model

Schema = dict[str, Any]
NAMES = st.sampled_from(["a", "b", "name", 'q"', "é", "x y", "\\", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2), max_leaves=4,
)  # fmt: skip
PATTERNS = st.sampled_from(["^[a-z]{2,4}$", "b[0-9]", "^(yes|no)", "x+$", "^\\\\d*$", '^"?é$', "[^a-y]", "^(a|bb)*c"])
UNSUPPORTED = st.sampled_from(["not", "if", "multipleOf", "patternProperties", "contains", "dependentRequired", "x-y"])
FUZZ = settings(
    deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


def bounds(low: str, high: str, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    """Both, one or none of two keywords; the lower one may be above the other."""
    return st.fixed_dictionaries({}, optional={low: numbers, high: numbers})


def merged(*parts: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.tuples(*parts).map(lambda several: {key: value for each in several for key, value in each.items()})


def typed(name: str) -> st.SearchStrategy[Schema]:
    return st.just({"type": name})


COUNTS = st.integers(0, 5)
NUMBERS = st.integers(-200, 200) | st.decimals(-50, 50, places=3).map(float)
STRINGS = merged(typed("string"), bounds("minLength", "maxLength", COUNTS),
                 st.fixed_dictionaries({}, optional={"pattern": PATTERNS}))  # fmt: skip
FORMATTED = st.sampled_from(sorted(FORMATS)).map(lambda name: {"type": "string", "format": name})
WHOLE = merged(typed("integer"), bounds("minimum", "maximum", NUMBERS),
               bounds("exclusiveMinimum", "exclusiveMaximum", NUMBERS))  # fmt: skip
REAL = merged(typed("number"), bounds("minimum", "exclusiveMaximum", NUMBERS))
LEAVES = st.one_of(
    st.just({}), STRINGS, FORMATTED, WHOLE, REAL, typed("boolean"), typed("null"), VALUES.map(lambda v: {"const": v}),
    st.lists(VALUES, min_size=1, max_size=4).map(lambda found: {"enum": found}),
    st.just({"$ref": "#/$defs/loop"}),
)  # fmt: skip


def containers(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    objects = merged(typed("object"), st.fixed_dictionaries(
        {"properties": st.dictionaries(NAMES, inner, max_size=3)},
        optional={"required": st.lists(NAMES, max_size=2, unique=True),
                  "additionalProperties": inner | st.booleans()},
    ))  # fmt: skip
    arrays = merged(typed("array"), bounds("minItems", "maxItems", COUNTS), st.fixed_dictionaries(
        {}, optional={"items": inner, "prefixItems": st.lists(inner, min_size=1, max_size=2)}
    ))  # fmt: skip
    branches = st.lists(inner, min_size=1, max_size=3)
    several = st.tuples(st.sampled_from(["anyOf", "oneOf"]), branches).map(lambda found: {found[0]: found[1]})
    return objects | arrays | several | inner.map(lambda each: {"allOf": [each]})


LOOP = {"type": "array", "items": {"$ref": "#/$defs/loop"}}
SCHEMAS = st.recursive(LEAVES, containers, max_leaves=6).map(lambda schema: schema | {"$defs": {"loop": LOOP}})


@pytest.fixture(scope="module")
def story() -> Model:
    return glassformer.load()


def held(schema: Schema) -> JsonSchema | None:
    """The constraint; None where it is refused, which has to say where or why."""
    try:
        return JsonSchema(schema)
    except ConstraintError as error:
        if not error.path.startswith("#") and "no text" not in str(error):
            raise
        return None


@settings(FUZZ, max_examples=40)
@given(schema=SCHEMAS, seed=st.integers(0, 2**32), temperature=st.sampled_from([0, 1, 5]), spare=st.integers(-8, 40))
def test_what_is_written_validates(schema: Schema, seed: int, temperature: float, spare: int, piece_model: Any) -> None:
    constraint = held(schema)
    if constraint is None:
        return
    shortest = Machine(constraint.grammar, EVERY_BYTE).cost(constraint.grammar.start)
    tokens = min(max(1, shortest + spare), 350)
    written = piece_model().generate(
        [1 + seed % 200], constraint=constraint, temperature=temperature, seed=seed, max_new_tokens=tokens
    )
    if written.finish_reason == "stop":
        assert valid(json.loads(written.text), schema), written.text
    else:
        assert (written.finish_reason, tokens < shortest or shortest > 350) == ("length", True), written.text


@pytest.mark.slow
@settings(FUZZ, max_examples=400)
@given(schema=SCHEMAS, seed=st.integers(0, 2**32), temperature=st.sampled_from([0, 1, 5]))
def test_what_the_story_model_writes_validates(schema: Schema, seed: int, temperature: float, story: Model) -> None:
    constraint = held(schema)
    if constraint is not None:
        written = story.generate("It was", constraint=constraint, temperature=temperature, seed=seed, max_new_tokens=90)
        assert written.finish_reason == "length" or valid(json.loads(written.text), schema), written.text


def places(schema: Any, path: str = "#") -> list[tuple[Schema, str]]:
    """Every schema in a schema, with where it is."""
    found = [(schema, path)] if isinstance(schema, dict) else []
    for keyword in ("properties", "items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf"):
        inner = schema.get(keyword) if isinstance(schema, dict) else None
        if keyword in ("items", "additionalProperties") and isinstance(inner, dict):
            found += places(inner, f"{path}/{keyword}")
            continue
        below = inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        for name, each in below:
            found += places(each, f"{path}/{keyword}/{str(name).replace('~', '~0').replace('/', '~1')}")
    return found


@settings(FUZZ, max_examples=60)
@given(schema=SCHEMAS, keyword=UNSUPPORTED, value=VALUES, data=st.data())
def test_what_is_not_supported_is_refused_wherever_it_is(
    schema: Schema, keyword: str, value: Any, data: st.DataObject
) -> None:
    schema = json.loads(json.dumps(schema))  # no part is another's, or the strategy's
    if held(schema) is None:
        return
    inner, path = data.draw(st.sampled_from(places(schema)))
    inner[keyword] = value
    with pytest.raises(ConstraintError) as caught:
        JsonSchema(schema)
    assert caught.value.path == f"{path}/{keyword}"
