"""Writes the list of operations in docs/simd-language.md from the table; with `--check` it only compares."""

import sys
from itertools import groupby
from pathlib import Path

from glassformer.simd.errors import OperandError
from glassformer.simd.table import TABLE, Operation
from glassformer.simd.target import TARGETS
from glassformer.simd.types import SCALARS, Value, mask, vector

PAGE = Path(__file__).parent.parent / "docs" / "simd-language.md"
BEGIN = "<!-- operations: written by tools/make_simd_docs.py from the table; change that, not this -->"
END = "<!-- end of operations -->"
GROUPS = ["arithmetic", "comparison", "bits", "conversion", "memory", "lanes", "functions", "threads"]


def operations() -> str:
    """The lists of all groups."""
    ordered = sorted(TABLE.values(), key=lambda each: GROUPS.index(each.group))
    parts = []
    for group, members in groupby(ordered, key=lambda each: each.group):
        rows = "\n".join(row(each) for each in members)
        parts.append(
            f"### {group.capitalize()}\n\n| Operation | Meaning | Types | Of its own |\n|---|---|---|---|\n{rows}"
        )
    return f"{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}"


def row(operation: Operation) -> str:
    """One operation's line of the list."""
    names = [n if i < operation.required else f"{n}=None" for i, n in enumerate(operation.parameters)]
    summary = operation.summary.replace("|", "\\|")
    return f"| `{operation.name}({', '.join(names)})` | {summary} | {types(operation)} | {special(operation)} |"


def types(operation: Operation) -> str:
    """Scalar types on whose values, or vectors, the operation works; blank where its operands are of several types."""
    taken = [each.name for each in SCALARS if takes(operation, vector(each, 16))]
    if takes(operation, mask(16)):
        taken.append("mask")
    families = {"i": "i8 i16 i32 i64", "u": "u8 u16 u32 u64", "f": "f32 f64", "h": "f16 bf16"}
    text = " ".join(taken)
    for letter, members in families.items():
        text = text.replace(members, {"i": "iN", "u": "uN", "f": "fN", "h": members}[letter])
    return text


def takes(operation: Operation, kind: type[Value]) -> bool:
    """Whether the operation takes operands that all have one type, but for the mask of `select`."""
    operands = [mask(16) if name == "mask" and operation.name == "select" else kind for name in operation.parameters]
    try:
        if operation.kernel is not None:
            operation.kernel.instantiate(operands, {})
        operation.sign(operands)
    except OperandError:
        return False
    return bool(operation.parameters)


def special(operation: Operation) -> str:
    """Targets that have a lowering of their own."""
    return ", ".join(t.name for t in TARGETS.values() if operation.lowering(t.features) is not operation.lower)


def page(old: str) -> str:
    """The page with its list made anew."""
    before, rest = old.split(BEGIN)
    return before + operations() + rest.split(END)[1]


def main() -> None:
    """Write the page, or compare it."""
    old = PAGE.read_text(encoding="utf8")
    new = page(old)
    if "--check" in sys.argv[1:]:
        if new != old:
            sys.exit(f"{PAGE.name} is not current: run python {Path(__file__).parent.name}/{Path(__file__).name}")
        return
    PAGE.write_text(new, encoding="utf8")


if __name__ == "__main__":
    main()
