"""Interventions as JSON, and the schema that describes it."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intervention_cases import EXAMPLES
from small_schema import accepts

from glassformer.introspect.documents import (
    DocumentError,
    from_dict,
    from_json,
    read_interventions,
    to_dict,
    to_json,
)
from glassformer.introspect.interventions import Add, Intervention, Patch, Zero
from glassformer.introspect.schema import schema

PAGE = Path(__file__).parents[2] / "docs" / "interventions.schema.json"
EXAMPLE = pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.to_python()[:50])


@EXAMPLE
def test_one_comes_back(example: Intervention) -> None:
    text = to_json(example)
    assert from_json(text) == from_json(text.encode()) == (example,)
    assert from_dict(json.loads(text)) == from_dict(to_dict(example)) == example


def test_several_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "edits.json"
    path.write_text(to_json(EXAMPLES), encoding="utf8")
    assert read_interventions(path) == EXAMPLES
    assert from_json(to_json(())) == ()
    assert from_json(to_json([EXAMPLES[0]])) == EXAMPLES[:1]


def test_arrays_are_little_endian_float32_in_base64() -> None:
    found = to_dict(Patch("z", [[1.5, -2.0, 0.25]]))["value"]
    assert found == {"shape": [1, 3], "float32": base64.b64encode(struct.pack("<3f", 1.5, -2.0, 0.25)).decode()}
    assert to_dict(Add("z", 0.5))["value"] == 0.5


def test_selectors_that_pick_all_are_left_out() -> None:
    assert to_dict(Zero("z", head=[1, 2], position=slice(-2, None))) == {
        "kind": "zero", "site": "z", "head": [1, 2], "position": {"start": -2},
    }  # fmt: skip


def test_the_published_schema_is_current() -> None:
    if not PAGE.exists():
        pytest.skip("the documentation is not part of this distribution")
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    assert PAGE.read_text(encoding="utf8") == text, "run python tools/make_intervention_schema.py"


@EXAMPLE
def test_the_schema_accepts_what_is_written(example: Intervention) -> None:
    assert accepts(schema(), to_dict(example))
    assert accepts(schema(), {"interventions": [to_dict(example), to_dict(EXAMPLES[0])]})


GOOD: dict[str, Any] = {"kind": "patch", "site": "z", "value": {"shape": [2], "float32": "AAAAAAAAAAA="}}


def changed(**changes: Any) -> dict[str, Any]:
    """The good document with other values; `...` takes a key out."""
    return {key: value for key, value in (GOOD | changes).items() if value is not ...}


REFUSED = {
    "no object": (5, "is 5; it must be an object"),
    "unknown kind": (changed(kind="erase"), "has kind 'erase'; it must be one of zero, mean"),
    "no kind": (changed(kind=...), "has kind None"),
    "a list as kind": (changed(kind=["zero"]), "has kind \\['zero'\\]"),
    "no site": (changed(site=...), "lacks site, which a patch has"),
    "no value": (changed(value=...), "lacks value, which a patch has"),
    "unknown key": (changed(color=1), "unknown key 'color'; a patch may have site, value, layer"),
    "another kind's key": (changed(factor=1), "unknown key 'factor'"),
    "a number as site": (changed(site=1), "site is 1"),
    "an empty site": (changed(site=""), "site is ''"),
    "a text as head": (changed(head="0"), "head is '0'; it must be a whole number, a list"),
    "null as head": (changed(head=None), "head is None"),
    "a boolean as head": (changed(head=True), "head is True"),
    "a boolean among heads": (changed(head=[True]), "head is \\[True\\]"),
    "half a head": (changed(head=0.5), "head is 0.5"),
    "no head at all": (changed(head=[]), "head is \\[\\]"),
    "a head twice": (changed(head=[1, 1]), "head names 1 twice"),
    "a huge head": (changed(head=1 << 31), "head holds 2147483648"),
    "an unknown part of a slice": (changed(position={"begin": 1}), "unknown key 'begin'; a slice has start"),
    "null in a slice": (changed(position={"start": None}), "position has a part that is null"),
    "a backward slice": (changed(position={"step": -1}), "slice with step -1"),
    "a negative step": (changed(step=-1), "step names -1"),
    "text as value": (changed(value="1"), "value is '1'; it must be a number or an object"),
    "a list as value": (changed(value=[1, 2]), "value is \\[1, 2\\]"),
    "a boolean as value": (changed(value=True), "value is True"),
    "null as value": (changed(value=None), "value is None"),
    "no shape": (changed(value={"float32": "AAAAAA=="}), "keys \\['float32'\\]; an array has shape and float32"),
    "more keys": (changed(value=GOOD["value"] | {"dtype": "f4"}), "keys \\['dtype', 'float32', 'shape'\\]"),
    "an empty shape": (changed(value={"shape": [], "float32": "AAAAAA=="}), "has shape \\[\\]"),
    "five axes": (changed(value={"shape": [1] * 5, "float32": "AAAAAA=="}), "it must be 1 to 4 whole numbers"),
    "a size of zero": (changed(value={"shape": [0], "float32": ""}), "has shape \\[0\\]"),
    "a negative size": (changed(value={"shape": [-1], "float32": "AAAAAA=="}), "has shape \\[-1\\]"),
    "a size that is a boolean": (changed(value={"shape": [True], "float32": "AAAAAA=="}), "has shape \\[True\\]"),
    "a number as text": (changed(value={"shape": [1], "float32": 0}), "float32 0; it must be text in base64"),
    "no base64": (changed(value={"shape": [1], "float32": "A*AAAA=="}), "value is not base64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_departs_is_refused_here_and_by_the_schema(name: str) -> None:
    document, message = REFUSED[name]
    with pytest.raises(DocumentError, match=message):
        from_dict(document)
    assert not accepts(schema(), document)


def test_the_good_document_is_accepted() -> None:
    assert from_dict(GOOD) == Patch("z", np.zeros(2))
    assert accepts(schema(), GOOD)


def test_messages_name_the_place() -> None:
    with pytest.raises(DocumentError, match="intervention 1: head is 'a'"):
        from_json(json.dumps({"interventions": [GOOD, changed(head="a")]}))
    with pytest.raises(DocumentError, match="interventions is 5; it must be a list"):
        from_json('{"interventions": 5}')
    with pytest.raises(DocumentError, match="unknown key 'kind' beside interventions"):
        from_json('{"interventions": [], "kind": "zero"}')
