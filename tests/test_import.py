"""`import glassformer` is light: what it loads is counted, not timed."""

import subprocess
import sys

import pytest

HEAVY = {"numpy", "llvmlite", "click", "rich", "huggingface_hub", "tokenizers", "torch", "json", "ctypes"}


def loaded_by(code: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter has loaded after running `code`."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_import_loads_nothing_heavy() -> None:
    assert not (loaded_by("import glassformer") - loaded_by("")) & HEAVY


@pytest.mark.parametrize("name", ["load", "Model", "Tokenizer", "Generation", "ops", "formats", "Zero"])
def test_public_names_load_neither_the_command_line_nor_the_hub(name: str) -> None:
    loaded = loaded_by(f"import glassformer\nglassformer.{name}")
    assert "glassformer" in loaded
    assert not loaded & {"click", "rich", "huggingface_hub", "tokenizers", "torch", "transformers"}


def test_version_and_help_compute_nothing() -> None:
    for arguments in (["--version"], ["generate", "--help"], ["--help"]):
        loaded = loaded_by(f"from glassformer.cli.app import run\nassert run({arguments!r}) == 0")
        assert not loaded & {"numpy", "llvmlite", "rich", "huggingface_hub"}


def test_generate_loads_neither_rich_nor_the_hub() -> None:
    code = "from glassformer.cli.app import run\nassert run(['generate', '-n', '2', 'Once']) == 0"
    assert not loaded_by(code) & {"rich", "huggingface_hub", "tokenizers", "torch"}


def test_unknown_public_name_is_an_attribute_error() -> None:
    import glassformer

    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = glassformer.lode
    assert set(glassformer.__all__) <= set(dir(glassformer))
