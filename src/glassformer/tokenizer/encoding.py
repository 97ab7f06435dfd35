"""Ids with the place in the text that each stands for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.tokenizer.vocabulary import MISSING


@dataclass(frozen=True)
class Encoding:
    """`text` is the text that the offsets count in: the given one, unless it held lone surrogates."""

    ids: list[int]
    text: str
    offsets: list[tuple[int, int]]  # [begin, end) in characters; a token with part of a character counts it whole
    byte_offsets: list[tuple[int, int]]  # [begin, end) in bytes of the text's UTF-8 form

    @staticmethod
    def from_byte_offsets(ids: list[int], text: str, spans: list[tuple[int, int]]) -> "Encoding":
        """Character offsets follow from byte offsets."""
        data = np.frombuffer(text.encode("utf8"), np.uint8)
        character = np.cumsum((data & 0xC0) != 0x80) - 1  # of each byte; continuation bytes are 10xxxxxx
        begin, end = np.array(spans, np.int64).reshape(-1, 2).T
        offsets = list(zip(character[begin].tolist(), (character[end - 1] + 1).tolist(), strict=True))
        return Encoding(ids, text, offsets, spans)


def byte_places(data: bytes, byte_ids: Sequence[int], start: int, prefix: str) -> npt.NDArray[np.int64]:
    """Where in the text the bytes stand that became symbols; `data` begins there at byte `start`.

    Bytes that the vocabulary lacks are left out. A prefix put before the text has its place at the first byte.
    """
    covered = np.array(byte_ids) != MISSING
    places = start + np.flatnonzero(covered[np.frombuffer(data, np.uint8)])
    before = [start for byte in prefix.encode("utf8") if covered[byte]]
    return np.concatenate([np.array(before, np.int64), places])


def token_spans(places: npt.NDArray[np.int64], lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Byte offsets of tokens that follow each other over `places`, given how many bytes each has."""
    ends = np.cumsum(lengths, dtype=np.int64)
    begins = ends - np.array(lengths, np.int64)
    return list(zip(places[begins].tolist(), (places[ends - 1] + 1).tolist(), strict=True))
