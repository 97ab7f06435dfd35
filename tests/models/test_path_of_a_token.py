"""docs/path-of-a-token.md tells the truth: its links lead somewhere, the names stand there, the numbers are right."""

import ast
import re
from pathlib import Path

import pytest

import glassformer

PAGE = Path(__file__).parents[2] / "docs" / "path-of-a-token.md"
TEXT = PAGE.read_text(encoding="utf8")
LINKS: list[tuple[str, str]] = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", TEXT)
NAMED = [(name.strip("`"), target) for name, target in LINKS if name.startswith("`")]
# Written by another tool from the operations; it need not be there for this page to be true.
GENERATED = {"simd-language.md"}
FOLDERS = {"tokenizer", "formats", "models", "runtime", "kernels", "simd", "generation", "cli"}
Definition = ast.FunctionDef | ast.ClassDef


def defined(body: list[ast.stmt]) -> dict[str, Definition]:
    return {node.name: node for node in body if isinstance(node, Definition)}


def test_links_lead_to_files() -> None:
    missing = [target for _, target in LINKS if target not in GENERATED and not (PAGE.parent / target).is_file()]
    assert not missing


@pytest.mark.parametrize(("name", "target"), NAMED, ids=[name for name, _ in NAMED])
def test_names_stand_where_the_links_say(name: str, target: str) -> None:
    body = ast.parse((PAGE.parent / target).read_text(encoding="utf8")).body
    for part in name.split("."):
        assert part in defined(body), f"{target} defines no {name}"
        body = defined(body)[part].body


def test_the_path_touches_every_folder_a_token_passes() -> None:
    places = {target.split("/")[3] for _, target in NAMED if target.count("/") > 3}
    assert places == FOLDERS


def test_every_line_of_code_in_the_table_stands_in_the_model() -> None:
    source = (PAGE.parent / "../src/glassformer/models/gpt2.py").read_text(encoding="utf8")
    lines = re.findall(r"^\| [^|]+ \| `([^`]+)` \|", TEXT, flags=re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        assert line.removesuffix("...)") in source, line


def test_the_example_is_the_model_inside_the_package() -> None:
    model = glassformer.load()
    for word, value in (
        ("n_layer", model.config.n_layer), ("n_head", model.config.n_head), ("n_embd", model.config.n_embd),
        ("vocab_size", model.config.vocab_size), ("n_positions", model.config.n_positions),
    ):  # fmt: skip
        assert re.search(rf"\b{value}\b[^`]*\(`{word}`\)", TEXT.replace("\n", " ")), word
    assert f"[t, 3, {model.config.n_head}, {model.config.head_dim}]" in TEXT
    ids = model.ids("Once upon a time")
    pieces = " ".join(f'"{model.known_tokenizer.decode([token])}"' for token in ids)
    assert f'"Once upon a time"  ->  {pieces}  ->  {" ".join(map(str, ids))}' in TEXT
