"""The classes of code points: Unicode 16.0, as both reference implementations have them, for every code point."""

import re
import runpy
from pathlib import Path

import pytest

from glassformer.tokenizer.pretokenize import LETTER, NUMBER, OTHER, SPACE, class_table, split_words
from glassformer.tokenizer.unicode_ranges import UNICODE_VERSION

CLASSES = [(r"\p{L}", LETTER), (r"\p{N}", NUMBER), (r"\s", SPACE)]
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]

# Code points whose class differs between this table and a reference implementation, by the implementation's name.
# There are none: tiktoken 0.14 and tokenizers 0.23 both follow Unicode 16.0.
EXCEPTIONS: dict[str, set[int]] = {"tiktoken": set(), "tokenizers": set()}


def ours(code_class: int) -> set[int]:
    table = class_table()
    return {code for code in map(ord, CHARACTERS) if table[code] == code_class}


@pytest.mark.parametrize(("pattern", "code_class"), CLASSES)
def test_tiktoken_agrees_on_every_code_point(pattern: str, code_class: int) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {bytes([byte]): byte for byte in range(256)}
    finder = tiktoken.Encoding("class", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    found = set(map(ord, finder.decode(finder.encode_ordinary("".join(CHARACTERS)))))
    assert found ^ ours(code_class) == EXCEPTIONS["tiktoken"]


@pytest.mark.parametrize(("pattern", "code_class"), CLASSES)
def test_tokenizers_agrees_on_every_code_point(pattern: str, code_class: int) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    finder = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="removed", invert=True)
    found: set[int] = set()
    for start in range(0, len(CHARACTERS), 20_000):
        pieces = finder.pre_tokenize_str("".join(CHARACTERS[start : start + 20_000]))
        found.update(ord(letter) for piece, _ in pieces for letter in piece)
    assert found ^ ours(code_class) == EXCEPTIONS["tokenizers"]


@pytest.mark.parametrize(
    ("character", "code_class"),
    [
        ("\x1c", OTHER),  # Python's \s has it, White_Space does not
        ("\x1f", OTHER),
        ("\x85", SPACE),
        ("\u180e", OTHER),  # was a space before Unicode 6.3
        ("\u200b", OTHER),
        ("²", NUMBER),  # No
        ("Ⅷ", NUMBER),  # Nl
        ("\u0301", OTHER),  # a combining mark is no letter
        ("\ua7cb", LETTER),  # new in Unicode 16
        ("\ua7ce", OTHER),  # new in Unicode 17
        ("\U0010ffff", OTHER),
    ],
)
def test_chosen_code_points(character: str, code_class: int) -> None:
    assert class_table()[ord(character)] == code_class
    assert UNICODE_VERSION == "16.0.0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I'll say I'LL", ["I", "'ll", " say", " I", "'", "LL"]),
        ("it 's", ["it", " '", "s"]),
        ("a  b", ["a", " ", " b"]),
        ("a \n b  ", ["a", " \n", " b", "  "]),
        ("a\n\nb", ["a", "\n", "\n", "b"]),
        ("x1²y", ["x", "1²", "y"]),
        ("a\u3000b", ["a", "\u3000", "b"]),
        ("\x1c\x1c a", ["\x1c\x1c", " a"]),
        ("e\u0301", ["e", "\u0301"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_every_code_point_falls_into_a_word() -> None:
    text = "".join(CHARACTERS)
    words = split_words(text)
    assert "".join(words) == text
    assert len(words) > 1500
    assert not any(re.search(r"[a-z][0-9]", word) for word in words)


def test_the_committed_ranges_are_what_the_tool_writes() -> None:
    """Where this Python's own tables, or those of `unicodedata2`, have the pinned version."""
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "unicode_tables.py"))
    try:
        text = tool["module_text"]()
    except SystemExit:
        pytest.skip("no Unicode 16.0.0 here")
    assert tool["TARGET"].read_text(encoding="utf8") == text
