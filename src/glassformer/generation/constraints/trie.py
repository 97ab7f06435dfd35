"""A vocabulary as a tree of bytes, in arrays: one walk over it judges all tokens at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.generation.constraints.automaton import DEAD, Automaton

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Trie:
    """Nodes in order of depth, the children of a node side by side; node 0 is the root.

    Attributes:
        byte: int32 [nodes], the byte that leads to a node.
        first, count: int32 [nodes], the first child and how many there are.
        node: int32 [vocab_size], the node of each token; 0 for those that have no text.
        alphabet: for each byte, whether it is a token by itself.
        longest: bytes of the longest token.
    """

    byte: Int32
    first: Int32
    count: Int32
    node: Int32
    alphabet: tuple[bool, ...]
    longest: int


def trie_of(tokens: Mapping[int, bytes], silent: Collection[int], vocab_size: int) -> Trie:
    """The tree of a vocabulary.

    Args:
        tokens: id -> bytes.
        silent: ids that are never to be written: special tokens.
        vocab_size: of the model; ids that are not in `tokens` are never to be written either.
    """
    spelled = {t: data for t, data in tokens.items() if data and t < vocab_size and t not in silent}
    level = {b"": list(spelled)}
    byte, first, count = [0], [0], [0]
    node = np.zeros(vocab_size, np.int32)
    places = {b"": 0}
    depth = 0
    while level:
        below: dict[bytes, list[int]] = {}
        for prefix, ids in level.items():
            place = places.pop(prefix)
            first[place] = len(byte)
            groups: dict[int, list[int]] = {}
            for token in ids:
                if len(spelled[token]) == depth:
                    node[token] = place
                else:
                    groups.setdefault(spelled[token][depth], []).append(token)
            for letter in sorted(groups):
                places[prefix + bytes([letter])] = len(byte)
                below[prefix + bytes([letter])] = groups[letter]
                byte.append(letter)
                first.append(0)
                count.append(0)
            count[place] = len(groups)
        level, depth = below, depth + 1
    alone = {data[0] for data in spelled.values() if len(data) == 1}
    return Trie(
        np.array(byte, np.int32), np.array(first, np.int32), np.array(count, np.int32), node,
        tuple(letter in alone for letter in range(256)), max(map(len, spelled.values()), default=0),
    )  # fmt: skip


@dataclass(frozen=True)
class Reach:
    """Where an automaton comes to on a walk down the tree; a node may be there in several states.

    Attributes:
        nodes, states: int32 [found].
        done: int32 [found], how many whole texts of the automaton were read, where it begins again after each.
    """

    nodes: Int32
    states: Int32
    done: Int32


def reach(trie: Trie, automaton: Automaton, nodes: Int32, state: int, again: bool) -> Reach:
    """Every node below `nodes` that the automaton comes to from `state`.

    Args:
        nodes: int32 [starts].
        again: whether it begins again after a whole text; no text is then the beginning of another.
    """
    states, done = np.full(len(nodes), state, np.int32), np.zeros(len(nodes), np.int32)
    column = automaton.classes[trie.byte]
    found = []
    while len(nodes):
        counts = trie.count[nodes]
        shift = trie.first[nodes] - np.cumsum(counts) + counts  # of a level's children from their places in the tree
        children = np.repeat(shift, counts) + np.arange(counts.sum(), dtype=np.int32)
        states = automaton.table[np.repeat(states, counts), column[children]]
        alive = states != DEAD
        nodes, states, done = children[alive], states[alive], np.repeat(done, counts)[alive]
        if again:
            whole = automaton.accepting[states]
            states, done = np.where(whole, np.int32(0), states), done + whole
        found.append((nodes, states, done))
    joined = [np.concatenate(each) for each in zip(*found, strict=True)] if found else [np.zeros(0, np.int32)] * 3
    return Reach(*(each.astype(np.int32) for each in joined))
