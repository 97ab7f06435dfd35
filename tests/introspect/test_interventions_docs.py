"""docs/interventions.md says what is so: its Python runs, and its names are those of the model."""

import re
from pathlib import Path

import pytest

from glassformer.introspect.places import short
from glassformer.model import Model

PAGE = Path(__file__).parents[2] / "docs" / "interventions.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not part of this distribution")


def test_the_pages_python_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    said: list[str] = []
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf8"), re.DOTALL | re.MULTILINE):
        exec(compile(block, PAGE.name, "exec"), names)
        said += re.findall(r"print\(.*\)  # (.*)", block)
    printed = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert set(said) <= set(printed)


def test_every_short_name_is_listed(story: Model) -> None:
    text = PAGE.read_text(encoding="utf8")
    for name in {short(site.name) for site in story.sites()}:
        assert f"`{name}`" in text, name
