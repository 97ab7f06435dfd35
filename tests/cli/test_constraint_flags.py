"""`--json-schema`, `--json-object`, `--regex` and `--choice` of `glassformer generate`."""

import json
import re

import pytest

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"]}


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA), encoding="utf8")
    return str(path)


def test_texts_are_what_the_flags_say(cli, schema):
    written = cli("generate", "Once", "--json-schema", schema, "--temperature", "3", "--seed", "2")
    assert json.loads(written.out)["n"] <= 9
    assert cli("generate", "Once", "--choice", "yes", "--choice", "no").out in ("yes\n", "no\n")
    assert re.fullmatch(r"[ab]{3}\n", cli("generate", "Once", "--regex", "[ab]{3}").out)
    report = cli("generate", "Once", "--json-object", "-n", "12", "--json").json
    assert isinstance(json.loads(report["text"]), dict)
    assert report["finish_reason"] == "stop"


def test_a_schema_comes_from_standard_input(cli):
    assert json.loads(cli("generate", "Once", "--json-schema", "-", stdin=json.dumps(SCHEMA).encode()).out)["n"] <= 9


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--regex", "(a"], 1, "character 3 of the pattern: a group is not closed"),
        (["--regex", "a", "--json-object"], 2, "--json-object and --regex each say what the text is"),
        (["--choice", ""], 1, "a choice is empty"),
        (["--json-object", "--stop", "x"], 2, "stop is given beside a constraint"),
        (["--json-schema", "missing.json"], 1, "missing.json: cannot read it"),
    ],
)
def test_what_is_wrong_is_said(cli, flags, code, message):
    outcome = cli("generate", "Once", *flags)
    assert outcome.code == code
    assert message in outcome.err


def test_schemas_that_are_none_are_refused_with_their_place(cli, tmp_path):
    path = tmp_path / "schema.json"
    for text, message in (("[1]", "holds no JSON Schema"), ('{"not": {}}', "#/not: this keyword is not supported")):
        path.write_text(text, encoding="utf8")
        outcome = cli("generate", "Once", "--json-schema", str(path))
        assert outcome.code == 1
        assert message in outcome.err
