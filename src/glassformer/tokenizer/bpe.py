"""Byte-pair encoding in plain Python: the definition that the compiled path is held to.

A word's bytes are its first symbols. Of all neighbouring pairs that the merge list knows, the one with the lowest rank
(the leftmost, if it occurs more than once) is joined into one symbol, until no known pair is left. A heap holds the
pairs and a linked list the symbols, so a word of n bytes takes O(n log n), be it a million equal letters.
Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"; over bytes: Radford et al.
2019, the GPT-2 paper.
"""

import heapq
from collections.abc import Mapping

from glassformer.tokenizer.pretokenize import split_words
from glassformer.tokenizer.vocabulary import Vocabulary

END = -1  # no neighbour on this side

Merges = Mapping[tuple[int, int], tuple[int, int]]


class BytePairEncoder:
    """Text to ids, without special tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def encode(self, text: str) -> list[int]:
        """Ids of a text that holds no lone surrogates."""
        ids: list[int] = []
        known: dict[str, list[int]] = {}  # most words of a text are repeats
        for word in split_words(text):
            if word not in known:
                known[word] = self.encode_word(word.encode("utf8"))
            ids += known[word]
        return ids

    def encode_word(self, word: bytes) -> list[int]:
        """Ids of one word. A byte that the vocabulary has no symbol for is left out, as `tokenizers` does."""
        symbols = [self.vocabulary.byte_ids[byte] for byte in word]
        return merge_symbols([symbol for symbol in symbols if symbol >= 0], self.vocabulary.merges)


def merge_symbols(symbols: list[int], merges: Merges) -> list[int]:
    """Join neighbouring symbols by `merges`: pair of ids -> (rank, joined id)."""
    chain = _Chain(symbols)
    heap: list[tuple[int, int, int, int]] = []  # rank, position of the left symbol, the pair
    for position in range(len(symbols)):
        _offer(heap, chain, position, merges)
    while heap:
        _, position, left, right = heapq.heappop(heap)
        if chain.pair(position) != (left, right):
            continue  # one of the two has been joined with something else since
        chain.join(position, merges[left, right][1])
        for place in (chain.before[position], position):
            if place != END:
                _offer(heap, chain, place, merges)
    return chain.symbols()


class _Chain:
    """Symbols in a doubly linked list over positions; a joined symbol stays at its left part's position."""

    def __init__(self, symbols: list[int]) -> None:
        count = len(symbols)
        self.ids = list(symbols)
        self.before = list(range(-1, count - 1))
        self.after = [*range(1, count), END][:count]
        self.alive = [True] * count

    def pair(self, position: int) -> tuple[int, int] | None:
        """The symbol at a position and the one after it, if both are there."""
        after = self.after[position]
        return (self.ids[position], self.ids[after]) if self.alive[position] and after != END else None

    def join(self, position: int, joined: int) -> None:
        """Put one symbol in place of the one at a position and the one after it."""
        gone = self.after[position]
        self.ids[position] = joined
        self.alive[gone] = False
        self.after[position] = self.after[gone]
        if self.after[gone] != END:
            self.before[self.after[gone]] = position

    def symbols(self) -> list[int]:
        return [symbol for symbol, alive in zip(self.ids, self.alive, strict=True) if alive]


def _offer(heap: list[tuple[int, int, int, int]], chain: _Chain, position: int, merges: Merges) -> None:
    """Put the pair at a position on the heap, if the merge list knows it."""
    pair = chain.pair(position)
    if pair is not None and pair in merges:
        heapq.heappush(heap, (merges[pair][0], position, *pair))
