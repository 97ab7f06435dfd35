"""The pages say what is so: links lead somewhere, and the README's Python runs."""

import re
from pathlib import Path

import pytest

import glassformer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf8")) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def python_blocks(page: Path) -> list[str]:
    """The Python examples of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf8"), re.DOTALL | re.MULTILINE)


def test_the_readmes_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    blocks = python_blocks(ROOT / "README.md")
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert len(capsys.readouterr().out) > 20
    assert getattr(names["story"], "finish_reason", None) in ("stop", "length")


def test_the_python_of_the_profiling_page_runs_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    load = glassformer.load
    monkeypatch.setattr(glassformer, "load", lambda folder, **held: load(**held))  # there need not be a ./gpt2
    (block,) = python_blocks(ROOT / "docs" / "profiling.md")
    exec(compile(block, "profiling.md", "exec"), {})
