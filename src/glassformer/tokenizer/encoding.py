"""Ids with the place in the text that each stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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


def token_spans(
    data: bytes, ids: Sequence[int], tokens: Mapping[int, bytes], byte_ids: Sequence[int], start: int
) -> list[tuple[int, int]]:
    """Byte offsets of the ids that encode `data`, which begins at byte `start` of the text.

    Tokens follow each other without gaps, except for bytes that the vocabulary lacks: those belong to no token.
    """
    covered = np.array(byte_ids) != MISSING
    kept = start + np.flatnonzero(covered[np.frombuffer(data, np.uint8)])
    ends = np.cumsum([len(tokens[number]) for number in ids], dtype=np.int64)
    begins = np.concatenate([[0], ends])[:-1].astype(np.int64)
    return list(zip(kept[begins].tolist(), (kept[ends - 1] + 1).tolist(), strict=True))
