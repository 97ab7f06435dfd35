r"""Cutting text into words before byte-pair encoding: no merge crosses a word's border.

GPT-2's pattern is `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. Python's `re` has no
`\p{L}`, and its `\s` and `unicodedata` follow the running Python's Unicode version, so the three classes come from
the committed ranges of `unicode_ranges`. Every character falls into some word: the words joined are the text.
"""

import re
from functools import cache

from glassformer.tokenizer.unicode_ranges import LETTERS, NUMBERS, WHITE_SPACE

# Classes of code points, as `class_table` numbers them.
OTHER, LETTER, NUMBER, SPACE = 0, 1, 2, 3
CODE_POINTS = 0x110000


def parse_ranges(text: str) -> list[tuple[int, int]]:
    """`"41-5A AA"` -> `[(0x41, 0x5A), (0xAA, 0xAA)]`; both ends belong to the range."""
    pairs = (part.partition("-") for part in text.split())
    return [(int(first, 16), int(last or first, 16)) for first, _, last in pairs]


@cache
def class_table() -> bytes:
    """One byte per code point: OTHER, LETTER, NUMBER or SPACE. 1,114,112 bytes, made once."""
    table = bytearray(CODE_POINTS)
    for code_class, text in ((LETTER, LETTERS), (NUMBER, NUMBERS), (SPACE, WHITE_SPACE)):
        for first, last in parse_ranges(text):
            table[first : last + 1] = bytes([code_class]) * (last + 1 - first)
    return bytes(table)


@cache
def word_pattern() -> re.Pattern[str]:
    """GPT-2's pattern with the classes written out."""
    letter, number, space = (_inside_brackets(text) for text in (LETTERS, NUMBERS, WHITE_SPACE))
    return re.compile(
        rf"'(?:[sdmt]|ll|ve|re)| ?[{letter}]+| ?[{number}]+| ?[^{space}{letter}{number}]+"
        rf"|[{space}]+(?![^{space}])|[{space}]+"
    )


def _inside_brackets(text: str) -> str:
    """Ranges as `re` writes them inside `[...]`, every end escaped."""
    return "".join(rf"\U{first:08X}-\U{last:08X}" for first, last in parse_ranges(text))


def split_words(text: str) -> list[str]:
    """The words of a text, in order; joined they are the text again."""
    return word_pattern().findall(text)
