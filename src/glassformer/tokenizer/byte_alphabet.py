"""GPT-2's spelling of bytes: vocabulary files write each of the 256 bytes as one visible character.

The 188 bytes that Latin-1 shows as a visible character stand for themselves; the other 68 (controls, space, DEL,
0x80 to 0xA0, soft hyphen) become U+0100, U+0101, ... in order. So a space is written `Ġ` and a newline `Ċ`.
Source: `bytes_to_unicode` of OpenAI's GPT-2 release.
"""

import codecs

VISIBLE = frozenset([*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)])


def _alphabet() -> str:
    """The 256 symbols; the symbol of byte b stands at index b."""
    hidden = [byte for byte in range(256) if byte not in VISIBLE]
    return "".join(chr(byte) if byte in VISIBLE else chr(0x100 + hidden.index(byte)) for byte in range(256))


ALPHABET = _alphabet()
_TO_BYTES = codecs.charmap_build(ALPHABET)


def spell(data: bytes) -> str:
    """`b" the"` -> `"Ġthe"`, one symbol a byte."""
    return codecs.charmap_decode(data, "strict", ALPHABET)[0]


def unspell(token: str) -> bytes:
    """`"Ġthe"` -> `b" the"`. A token with a character outside the alphabet stands for its own text in UTF-8."""
    try:
        return codecs.charmap_encode(token, "strict", _TO_BYTES)[0]
    except UnicodeEncodeError:
        return token.encode("utf8")
