"""Byte-pair encoding on compiled kernels: the same ids as the readable twin in `bpe`, one native call a text."""

import threading

import numpy as np
import numpy.typing as npt

from glassformer.kernels.tokenizer_encode import CACHED_BYTES, encode_text
from glassformer.kernels.tokenizer_merge import NO_OFFER, fill_pairs
from glassformer.tokenizer.pretokenize import class_table
from glassformer.tokenizer.vocabulary import Vocabulary

CACHE_ENTRIES = 2**15  # of 64 bytes: two MiB, whatever the text
PADDING = 32  # zeros after the text, so that whole vectors may be read at its end
SCRATCH_WORD = 1024  # bytes of a word for which scratch memory is held ready


class FastEncoder:
    """Text to ids, without special tokens. Safe to use from several threads at once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._classes = np.frombuffer(class_table(), np.uint8)
        self._byte_ids = np.array(vocabulary.byte_ids, np.int32)
        self._pairs = pair_table(vocabulary)
        self._masks = word_masks()
        self._cache = new_cache(CACHE_ENTRIES)
        self._cache_lock = threading.Lock()

    def encode(self, text: str) -> list[int]:
        """Ids of a text that holds no lone surrogates."""
        data = text.encode("utf8")
        # The cache is the only memory that a call writes to and others see. Who finds it taken uses one of their own.
        if self._cache_lock.acquire(blocking=False):
            try:
                return self._encode(data, self._cache)
            finally:
                self._cache_lock.release()
        return self._encode(data, new_cache(256))

    def _encode(self, data: bytes, cache: npt.NDArray[np.uint64]) -> list[int]:
        size, capacity = len(data), SCRATCH_WORD
        text = np.frombuffer(data + bytes(PADDING), np.uint8)
        ids = np.empty(size + PADDING, np.int32)
        progress = np.zeros(2, np.int64)
        while capacity:
            scratch = np.empty(4 * capacity, np.uint64)
            needed = encode_text(
                text, size, self._classes, self._byte_ids, self._pairs, len(self._pairs) - 1, cache, len(cache) - 1,
                self._masks, scratch, capacity, ids, progress,
            )  # fmt: skip
            capacity = int(needed)
        encoded: list[int] = ids[: progress[1]].tolist()
        return encoded


def pair_table(vocabulary: Vocabulary) -> npt.NDArray[np.uint64]:
    """[entries, 2] hash table of pairs of ids and their offers, at most half full."""
    left, right, joined = (np.array(column, np.uint64) for column in vocabulary.merge_ids)
    count, half = len(joined), np.uint64(32)
    table = np.full((1 << (2 * count + 1).bit_length(), 2), NO_OFFER, np.uint64)
    fill_pairs(left << half | right, np.arange(count, dtype=np.uint64) << half | joined, count, table, len(table) - 1)
    return table


def word_masks() -> npt.NDArray[np.uint64]:
    """[CACHED_BYTES + 2, 4]: row n has ones over the first n bytes of a word."""
    covered = np.arange(CACHED_BYTES) < np.arange(CACHED_BYTES + 2)[:, None]
    return (covered * np.uint8(0xFF)).view(np.uint64)


def new_cache(entries: int) -> npt.NDArray[np.uint64]:
    """An empty cache of words."""
    return np.zeros((entries, 8), np.uint64)
