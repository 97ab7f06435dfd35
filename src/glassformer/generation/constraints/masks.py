"""Which tokens may come next: the vocabulary's tree walked with the automata of a state, once for every state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.generation.constraints.automaton import Automaton
from glassformer.generation.constraints.grammar import Grammar
from glassformer.generation.constraints.machine import FAR, Machine, State, Tail, Thread
from glassformer.generation.constraints.trie import Int32, Reach, Trie, reach

MASK_BYTES = 256 << 20  # of masks that are kept, in all
WALK_BYTES = 128 << 20  # of walks from the root that are kept


@dataclass(frozen=True, eq=False)
class Mask:
    """What may come after a state.

    Attributes:
        allowed: bool [vocab_size].
        worst: the fewest bytes that complete the text after the token that leaves most to do; -1 if none is allowed.
    """

    allowed: npt.NDArray[np.bool_]
    worst: int


class Masks:
    """The masks of one grammar over one vocabulary, made when first needed. For one thread at a time.

    Attributes:
        machine: reads the bytes of tokens.
        trie: of the vocabulary.
    """

    def __init__(self, grammar: Grammar, trie: Trie) -> None:
        self.machine, self.trie = Machine(grammar, trie.alphabet), trie
        self._masks: dict[State, Mask] = {}
        self._walks: dict[tuple[Automaton, int, bool], Reach] = {}
        self._walked = 0  # bytes
        self._last: tuple[State, Int32] | None = None

    def of(self, state: State) -> Mask:
        """The mask of a state."""
        state = self._sharing(state)
        found = self._masks.get(state)
        if found is None:
            if (len(self._masks) + 1) * len(self.trie.node) > MASK_BYTES:
                self._masks.clear()
            costs = self.costs(state)
            allowed = costs < FAR
            found = self._masks[state] = Mask(allowed, int(costs.max(where=allowed, initial=-1)))
        return found

    def costs(self, state: State) -> Int32:
        """int32 [vocab_size], the fewest bytes that complete the text behind each token; FAR: not allowed."""
        state, last = self._sharing(state), self._last
        if last is None or last[0] != state:
            cost = self._costs(state)
            cost[0] = FAR  # tokens without text
            last = self._last = state, cost[self.trie.node]
        return last[1]

    def _sharing(self, state: State) -> State:
        """The same, where counts go beyond what one token can reach: such states have one mask."""
        longest = self.trie.longest
        if not any(thread.most is not None and thread.most > longest for thread in state.threads):
            return state
        shared = (each._replace(most=None) if (each.most or 0) > longest else each for each in state.threads)
        return State(frozenset(shared), state.accepting)

    def _costs(self, state: State) -> Int32:
        """int32 [nodes], the same for every node of the tree."""
        cost = np.full(len(self.trie.byte), FAR, np.int32)
        behind: dict[Tail | None, list[Int32]] = {}
        for thread in state.threads:
            self._note(thread, self._from_root(thread), cost, behind)
        while behind:
            tail, places = behind.popitem()
            nodes = places[0] if len(places) == 1 else np.concatenate(places)
            nodes = np.unique(nodes)
            for thread in self.machine.expand(tail).threads:
                found = reach(self.trie, thread.automaton, nodes, thread.state, thread.most != 0)
                self._note(thread, found, cost, behind)
        return cost

    def _from_root(self, thread: Thread) -> Reach:
        key = thread.automaton, thread.state, thread.most != 0
        found = self._walks.get(key)
        if found is None:
            found = reach(self.trie, thread.automaton, np.zeros(1, np.int32), thread.state, thread.most != 0)
            self._walked += found.nodes.nbytes * 3
            if self._walked > WALK_BYTES:
                self._walks.clear()
                self._walked = found.nodes.nbytes * 3
            self._walks[key] = found
        return found

    def _note(self, thread: Thread, found: Reach, cost: Int32, behind: dict[Tail | None, list[Int32]]) -> None:
        """Lower the costs of the nodes that a thread comes to, and note those where it ends."""
        automaton, _, least, most, tail = thread
        nodes, states = found.nodes, found.states
        costs = automaton.distance[states]
        rest = 0 if tail is None else tail.cost
        if most == 0:
            ends = automaton.accepting[states]
        else:
            whole = (states == 0) & (found.done > 0)
            used = found.done - whole  # further texts, of which `least` and `most` are counted
            alive = used <= most if most is not None else np.ones(len(used), np.bool_)
            nodes, costs, used, whole = nodes[alive], costs[alive], used[alive], whole[alive]
            costs = np.where(whole, np.int32(0), costs)
            costs = costs + np.maximum(least - used, 0) * automaton.distance[0]
            ends = whole & (used >= least)
        np.minimum.at(cost, nodes, np.minimum(costs + rest, FAR - 1).astype(np.int32))
        if ends.any():
            behind.setdefault(tail, []).append(nodes[ends])
