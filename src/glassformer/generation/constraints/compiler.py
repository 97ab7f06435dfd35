"""Brings constraints and a vocabulary together, and keeps what that took."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from functools import cached_property
from threading import Lock

from glassformer.generation.constraints.constraint import Constraint
from glassformer.generation.constraints.guide import Guide
from glassformer.generation.constraints.masks import Masks
from glassformer.generation.constraints.trie import Trie, trie_of

MAX_KEPT = 8  # constraints whose masks are kept


class Compiler:
    """Makes guides for a vocabulary. The masks of the constraints used last are kept, so that they are made once.

    Guides may be asked for by several threads; each constraint's guides belong to one of them.
    """

    def __init__(self, tokens: Mapping[int, bytes], special: Collection[int], vocab_size: int) -> None:
        """`tokens`: id -> bytes; `special`: ids that are no text; `vocab_size`: of the model."""
        self._tokens, self._special, self._vocab_size = tokens, frozenset(special), vocab_size
        self._tries: OrderedDict[frozenset[int], Trie] = OrderedDict()
        self._masks: OrderedDict[tuple[str, frozenset[int]], Masks] = OrderedDict()
        self._lock = Lock()

    def guide(self, constraint: Constraint, end_ids: frozenset[int]) -> Guide:
        """A guide for one continuation.

        Raises:
            ConstraintError: if the vocabulary cannot spell any text of the constraint.
        """
        with self._lock:
            return Guide(self._masks_of(constraint, end_ids), self._bytes, end_ids)

    def _masks_of(self, constraint: Constraint, end_ids: frozenset[int]) -> Masks:
        key = constraint.key, end_ids
        masks = self._masks.pop(key, None)
        if masks is None:
            masks = Masks(constraint.grammar, self._trie(self._special | end_ids), end_ids)
        self._masks[key] = masks
        while len(self._masks) > MAX_KEPT:
            self._masks.popitem(last=False)
        return masks

    def _trie(self, silent: frozenset[int]) -> Trie:
        trie = self._tries.pop(silent, None) or trie_of(self._tokens, silent, self._vocab_size)
        self._tries[silent] = trie
        while len(self._tries) > 2:
            self._tries.popitem(last=False)
        return trie

    @cached_property
    def _bytes(self) -> list[bytes]:
        return [self._tokens.get(token, b"") for token in range(self._vocab_size)]
