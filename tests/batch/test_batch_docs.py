"""docs/scale-out.md shows lines that can be done."""

import json
import re
from pathlib import Path

import pytest
from batch_cases import results_of

from glassformer.batch.request import ASKED, CONSTRAINTS
from glassformer.batch.terms import Terms
from glassformer.generation.asked import Asked

PAGE = Path(__file__).parents[2] / "docs" / "scale-out.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the pages are not part of this distribution")


def test_the_lines_of_the_page_are_done_as_it_says(story):
    lines, results = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(encoding="utf8"), re.DOTALL | re.MULTILINE)
    found = results_of(story, lines.encode(), Terms(asked=Asked(max_new_tokens=4), seed=1))
    assert [each.get("error") for each in found] == [None] * 4
    assert found[2]["text"] in ("yes", "no")
    shown = json.loads(results.splitlines()[0])
    assert list(shown) == list(found[0])
    assert (shown["digest"], shown["id"], shown["prompt_tokens"]) == tuple(
        found[0][key] for key in ("digest", "id", "prompt_tokens")
    )
    assert found[0]["text"].startswith(shown["text"].removesuffix("..."))


def test_the_page_names_every_field():
    table = PAGE.read_text(encoding="utf8").split("| Field | Meaning |")[1].split("\n\n")[0]
    named = re.findall(r"`([a-z_]+)`", table)
    assert {*ASKED, *CONSTRAINTS, "prompt", "prompt_ids", "text", "ids", "id", "custom_id"} <= set(named)
