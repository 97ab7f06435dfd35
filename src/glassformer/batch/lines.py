"""The lines of an input, one at a time: no more than one of them is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

MOST_BYTES = 16 << 20  # of a line
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Source(Protocol):
    """Where lines come from."""

    def readline(self, limit: int, /) -> bytes:
        """The next bytes up to the end of a line, at most so many; nothing where there are no more."""


@dataclass(frozen=True)
class Line:
    """A line that is not empty.

    Attributes:
        number: its place in the input, the first one's is 1; empty lines count.
        data: its bytes without the line's end; empty where they are too many.
        digest: of all its bytes: 16 hexadecimal digits.
        too_long: whether it has more than `MOST_BYTES`.
    """

    number: int
    data: bytes
    digest: str
    too_long: bool = False


def read_lines(file: Source) -> Iterator[Line]:
    """The lines of a file, whatever bytes they are. Ends are LF or CRLF; the first line may begin with a mark."""
    number = 0
    while data := file.readline(MOST_BYTES + 1):
        number += 1
        if number == 1:
            data = data.removeprefix(BYTE_ORDER_MARK)
        if len(data) > MOST_BYTES and not data.endswith(b"\n"):
            yield too_long(number, data, file)
            continue
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        if data.strip():
            yield Line(number, data, digest_of(data))


def digest_of(data: bytes) -> str:
    """What a line is known by, beside its number."""
    return blake2b(data, digest_size=8).hexdigest()


def too_long(number: int, begin: bytes, file: Source) -> Line:
    """A line whose bytes are counted and forgotten, up to its end."""
    digest = blake2b(begin, digest_size=8)
    while data := file.readline(MOST_BYTES):
        digest.update(data)
        if data.endswith(b"\n"):
            break
    return Line(number, b"", digest.hexdigest(), too_long=True)
