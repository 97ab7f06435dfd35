"""A vocabulary as a tree of bytes, in arrays: one walk over it judges all tokens at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.generation.constraints.automaton import DEAD, Automaton

Int32 = npt.NDArray[np.int32]
CROWD = 1_000  # nodes whose children are found by a look at the whole tree


@dataclass(frozen=True, eq=False)
class Trie:
    """Nodes in order of depth, the children of a node side by side; node 0 is the root.

    Attributes:
        byte, parent: int32 [nodes], the byte that leads to a node, and from where.
        first, count: int32 [nodes], the first child and how many there are.
        node: int32 [vocab_size], the node of each token; 0 for those that have no text.
        alphabet: for each byte, whether it is a token by itself.
        longest: bytes of the longest token.
    """

    byte: Int32
    parent: Int32
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
    ids = np.array(list(spelled), np.int64)
    lengths = np.array([len(data) for data in spelled.values()], np.int64)
    begins = np.cumsum(lengths) - lengths
    data = np.frombuffer(b"".join(spelled.values()), np.uint8)
    at = np.zeros(len(ids), np.int64)  # the node of what was read of each token
    bytes_, parents = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    size, reading = 1, np.arange(len(ids))
    for depth in range(int(lengths.max(initial=0))):
        reading = reading[lengths[reading] > depth]
        steps, places = np.unique(at[reading] * 256 + data[begins[reading] + depth], return_inverse=True)
        at[reading] = size + places
        bytes_.append(steps % 256)
        parents.append(steps // 256)
        size += len(steps)
    parent = np.concatenate(parents)
    count = np.bincount(parent[1:], minlength=size)
    node = np.zeros(vocab_size, np.int32)
    node[ids] = at
    alone = {data[0] for data in spelled.values() if len(data) == 1}
    return Trie(
        byte=np.concatenate(bytes_).astype(np.int32),
        parent=parent.astype(np.int32),
        first=(1 + np.cumsum(count) - count).astype(np.int32),
        count=count.astype(np.int32),
        node=node,
        alphabet=tuple(letter in alone for letter in range(256)),
        longest=int(lengths.max(initial=0)),
    )


@dataclass(frozen=True)
class Reach:
    """Where an automaton comes to on a walk down the tree; a node may be there in several states.

    Attributes:
        nodes: int32 [found].
        costs: int32 [found], the fewest bytes that complete the text of the automaton which is under way.
        used: int32 [found], how many texts of it were begun behind the first one; 0 where it does not begin again.
        ends: int32 [ends], nodes with children where a text of the automaton ends.
        ends_used: int32 [ends], the same as `used`.
        most_used: the greatest of `used`.
    """

    nodes: Int32
    costs: Int32
    used: Int32
    ends: Int32
    ends_used: Int32
    most_used: int


def reach(trie: Trie, automaton: Automaton, nodes: Int32, state: int, again: bool) -> Reach:
    """Every node below `nodes` that the automaton comes to from `state`.

    Args:
        nodes: int32 [starts].
        again: whether it begins again after a whole text; no text is then the beginning of another.
    """
    states, done = np.full(len(nodes), state, np.int32), np.zeros(len(nodes), np.int32)
    found = []
    while len(nodes):
        if len(nodes) > CROWD and (states == states[0]).all() and not done.any():
            nodes, states = _below_many(trie, automaton, nodes, int(states[0]))
            done = np.zeros(len(nodes), np.int32)
        else:
            nodes, places = _below(trie, nodes)
            states, done = automaton.table[states[places], automaton.classes[trie.byte[nodes]]], done[places]
            alive = states != DEAD
            nodes, states, done = nodes[alive], states[alive], done[alive]
        if again:
            whole = automaton.accepting[states]
            states, done = np.where(whole, np.int32(0), states), done + whole
        found.append((nodes, states, done))
    joined = [np.concatenate(each) for each in zip(*found, strict=True)] if found else [np.zeros(0, np.int32)] * 3
    nodes, states, done = (each.astype(np.int32, copy=False) for each in joined)
    return _reached(trie, automaton, nodes, states, done, again)


def _reached(trie: Trie, automaton: Automaton, nodes: Int32, states: Int32, done: Int32, again: bool) -> Reach:
    """What states say about nodes: `done` texts were read before, the last of them just now where the state is 0."""
    whole = (states == 0) & (done > 0) if again else automaton.accepting[states]
    costs = automaton.distance[states]
    if again:
        costs, done = np.where(whole, np.int32(0), costs), done - whole
    ends = whole & (trie.count[nodes] > 0)
    return Reach(nodes, costs, done, nodes[ends], done[ends], int(done.max(initial=0)))


def _below(trie: Trie, nodes: Int32) -> tuple[Int32, Int32]:
    """All children of some nodes, and the place of each one's parent among these."""
    counts = trie.count[nodes]
    places = np.repeat(np.arange(len(nodes), dtype=np.int32), counts)
    shift = trie.first[nodes] - np.cumsum(counts) + counts  # of a node's children from their places among all
    return (shift[places] + np.arange(len(places))).astype(np.int32), places


def _below_many(trie: Trie, automaton: Automaton, nodes: Int32, state: int) -> tuple[Int32, Int32]:
    """The children of many nodes in one state that the automaton comes to, and their states."""
    after = automaton.table[state][automaton.classes][trie.byte]  # [nodes of the tree]
    among = np.zeros(len(trie.byte), np.bool_)
    among[nodes] = True
    candidates = np.flatnonzero(after != DEAD)
    children = candidates[among[trie.parent[candidates]] & (candidates > 0)].astype(np.int32)
    return children, after[children]
