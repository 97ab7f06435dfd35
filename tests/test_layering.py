"""Who may import whom: a folder imports only from folders that stand before it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "glassformer"

# Each folder (or top-level module) and what it may import from the package besides itself.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "simd": {"errors"},
    "kernels": {"simd"},
    "formats": {"kernels", "simd", "errors"},
    "runtime": {"kernels", "simd", "errors"},
    "tokenizer": {"kernels", "runtime", "simd", "errors"},
    "models": {"runtime", "formats", "errors"},
    "generation": {"models", "runtime", "tokenizer", "errors"},
    "introspect": {"models", "generation", "runtime", "tokenizer", "formats", "errors"},
    "model": {"models", "generation", "tokenizer", "introspect", "errors"},
    "batch": {"model", "introspect", "generation", "models", "runtime", "formats", "errors"},
    "server": {"*"},
    "cli": {"*"},
    "__init__": {"*"},
    "__main__": {"*"},
}
# The tokenizer's readable twin stands alone, so that it can be read and trusted without the engine.
LEAVES = {"tokenizer/bpe.py", "tokenizer/vocabulary.py"}


def imported_parts(path: Path) -> set[str]:
    """First component below `glassformer` of every import in the file, those inside functions included."""
    parts: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it in full"
            names = [node.module or ""]
            if node.module == "glassformer":
                names = [f"glassformer.{alias.name}" for alias in node.names]
        else:
            continue
        parts |= {name.split(".")[1] for name in names if name.startswith("glassformer.")}
        assert "glassformer" not in names, f"{path}: imports the whole package"
    return parts


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_layers(path: Path) -> None:
    place = path.relative_to(PACKAGE)
    folder = place.parts[0].removesuffix(".py")
    assert folder in ALLOWED, f"{folder} has no place in the layering: give it one"
    allowed = ALLOWED[folder]
    if place.as_posix() in LEAVES:
        allowed = {"errors"}
    if "*" in allowed:
        assert not {"cli"} & imported_parts(path) or folder in ("cli", "__main__")
        return
    extra = imported_parts(path) - allowed - {folder}
    assert not extra, f"{place} imports {sorted(extra)}; {folder} may import {sorted(allowed)}"
