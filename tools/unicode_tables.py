"""Write `src/glassformer/tokenizer/unicode_ranges.py`: the code points of `\\p{L}`, `\\p{N}` and `\\s`, as ranges.

    python tools/unicode_tables.py            (Python 3.14, or any Python with `unicodedata2==16.0.0`)
    python tools/unicode_tables.py --check    (compare with the committed file, write nothing)

The Unicode version is pinned, because a code point that becomes a letter in a later version would change token ids:
16.0 is what tiktoken 0.14 and tokenizers 0.23 both use (`tests/tokenizer/test_unicode.py` compares every code point).
"""

import importlib
import sys
import textwrap
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

UNICODE_VERSION = "16.0.0"
TARGET = Path(__file__).parent.parent / "src" / "glassformer" / "tokenizer" / "unicode_ranges.py"

# Unicode's White_Space property (PropList.txt), which no version since 6.3 has changed. Python's `str.isspace` is
# another set: it also holds the separators U+001C to U+001F.
WHITE_SPACE = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)]
WHITE_SPACE += [0x2028, 0x2029, 0x202F, 0x205F, 0x3000]

HEADER = f'''"""Code points of three Unicode {UNICODE_VERSION} classes, in hexadecimal: `first-last`, or one alone.

Written by tools/unicode_tables.py; change that, not this.
"""
'''


def database() -> Any:
    """A module like `unicodedata` at the pinned Unicode version."""
    for module in (unicodedata, _import_or_none("unicodedata2")):
        if module is not None and module.unidata_version == UNICODE_VERSION:
            return module
    sys.exit(f"no Unicode {UNICODE_VERSION} here: use Python 3.14, or pip install unicodedata2=={UNICODE_VERSION}")


def _import_or_none(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def ranges(code_points: Iterable[int]) -> str:
    """`41-5A 61-7A AA`: sorted code points, neighbours joined."""
    spans: list[list[int]] = []
    for code in code_points:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in spans)


def constant(name: str, comment: str, code_points: Iterable[int]) -> str:
    """One assignment of the written module."""
    lines = textwrap.wrap(ranges(code_points), width=118)
    return f'\n# {comment}\n{name} = """\n' + "\n".join(lines) + '\n"""\n'


def module_text() -> str:
    """The whole text of `unicode_ranges.py`."""
    category = database().category
    major = [category(chr(code))[0] for code in range(sys.maxunicode + 1)]
    letters = (code for code, kind in enumerate(major) if kind == "L")
    numbers = (code for code, kind in enumerate(major) if kind == "N")
    return (
        HEADER
        + f'\nUNICODE_VERSION = "{UNICODE_VERSION}"\n'
        + constant("LETTERS", r"\p{L}: general categories Lu, Ll, Lt, Lm, Lo.", letters)
        + constant("NUMBERS", r"\p{N}: general categories Nd, Nl, No.", numbers)
        + constant("WHITE_SPACE", r"\s: the property White_Space.", WHITE_SPACE)
    )


def main() -> None:
    """Write the module, or with `--check` say whether the committed one is current."""
    if "--check" in sys.argv[1:]:
        current = TARGET.read_text(encoding="utf8") == module_text()
        sys.exit(0 if current else f"{TARGET} is not what this script writes")
    TARGET.write_text(module_text(), encoding="utf8")


if __name__ == "__main__":
    main()
