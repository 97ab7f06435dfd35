"""The page about structured output says what is so."""

import json
import re
from pathlib import Path

from json_schema_validator import valid

from glassformer.generation.constraints import (
    automaton,
    effort,
    machine,
    schema_containers,
    schema_fields,
    schema_reader,
)
from glassformer.generation.constraints.formats import FORMATS

PAGE = (Path(__file__).parents[3] / "docs" / "structured-output.md").read_text(encoding="utf8")


def test_the_examples_run_and_print_what_they_ask_for(capsys: object) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "structured-output.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()  # type: ignore[attr-defined]
    text, _, reason = lines[0].rpartition(" ")
    assert reason == "stop"
    assert valid(json.loads(text), {"properties": {"age": {"maximum": 130}}, "required": ["name", "age"]})
    assert lines[1] in ("yes", "no")
    assert re.fullmatch(r" (19|20)\d\d\.", lines[2])
    assert isinstance(json.loads(lines[3]), dict)


def test_every_keyword_and_format_is_on_the_page() -> None:
    keywords = {each for of_type in schema_reader.KEYWORDS.values() for each in of_type}
    for word in (*keywords, *schema_reader.ALONE, *schema_reader.CONSTANTS, *schema_reader.NOTES, *FORMATS):
        assert re.search(rf"`{re.escape(word)}[`:]", PAGE), word


def test_the_limits_are_those_of_the_code() -> None:
    limits = (
        automaton.MAX_STATES, effort.MOST_EFFORT, automaton.MAX_WORK, automaton.LONGEST_TEXTS, machine.DEEPEST,
        schema_containers.MAX_PROPERTIES, schema_fields.MAX_COUNT, schema_reader.DEEPEST, schema_reader.MAX_SCHEMAS,
    )  # fmt: skip
    for limit in limits:
        assert f"{limit:,}" in PAGE
