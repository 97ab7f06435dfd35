"""Which tokens may come next: the vocabulary's tree walked with the automata of a state, once for every state."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.generation.constraints.automaton import Automaton
from glassformer.generation.constraints.grammar import Grammar
from glassformer.generation.constraints.machine import FAR, Machine, State, Tail, Thread
from glassformer.generation.constraints.trie import Int32, Reach, Trie, reach

# Of what is kept for one constraint: masks, costs, walks from the root.
MASK_BYTES, COST_BYTES, WALK_BYTES = 40 << 20, 12 << 20, 16 << 20
STEPS = 20_000  # from state to state by a token, that are kept; states whose masks are
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Mask:
    """What may come after a state.

    Attributes:
        row: float32 [vocab_size], to be added to the logits: 0 for what is allowed, minus infinity for the rest.
        worst: the fewest bytes that complete the text after the token that leaves most to do; -1 if none is allowed.
    """

    row: Float32
    worst: int

    @property
    def allowed(self) -> npt.NDArray[np.bool_]:
        """bool [vocab_size], the tokens that may come."""
        allowed: npt.NDArray[np.bool_] = self.row == 0
        return allowed


class Masks:
    """The masks of one grammar over one vocabulary, made when first needed. For one thread at a time.

    Attributes:
        machine: reads the bytes of tokens.
        trie: of the vocabulary.
    """

    def __init__(self, grammar: Grammar, trie: Trie, end_ids: Collection[int] = ()) -> None:
        """`end_ids`: ids that end a text, allowed where it is complete."""
        self.machine, self.trie = Machine(grammar, trie.alphabet), trie
        self._end_ids = list(end_ids)
        self._masks: dict[State, Mask] = {}
        self._shared: dict[State, Mask] = {}
        self._after: dict[tuple[State, int], State | None] = {}
        self._walks: dict[tuple[Automaton, int, bool], Reach] = {}
        self._walked = 0  # bytes
        self._costs: dict[State, Int32] = {}

    def of(self, state: State) -> Mask:
        """The mask of a state."""
        found = self._masks.get(state)
        if found is None:
            found = self._shared_mask(self._sharing(state))
            if len(self._masks) >= STEPS:
                self._masks.clear()
            self._masks[state] = found
        return found

    def _shared_mask(self, state: State) -> Mask:
        found = self._shared.get(state)
        if found is None:
            costs = self._computed(state)
            found = Mask(self._row(state, costs < FAR), int(costs.max(where=costs < FAR, initial=-1)))
            if (len(self._shared) + 1) * found.row.nbytes > MASK_BYTES:
                self._shared.clear()
                self._masks.clear()
            self._shared[state] = found
        return found

    def row(self, state: State, left: int) -> Float32:
        """The mask of tokens behind which fewer than `left` bytes complete the text; see `Mask.row`."""
        return self._row(state, self.costs(state) < left)

    def _row(self, state: State, allowed: npt.NDArray[np.bool_]) -> Float32:
        row = np.where(allowed, np.float32(0), np.float32(-np.inf))
        if state.accepting:
            row[self._end_ids] = 0
        return row

    def after(self, state: State, token: int, data: bytes) -> State | None:
        """The state after a token of these bytes; None if it is not allowed."""
        key = state, token
        if key not in self._after:
            if len(self._after) >= STEPS:
                self._after.clear()
            self._after[key] = self.machine.after(state, data)
        return self._after[key]

    def costs(self, state: State) -> Int32:
        """int32 [vocab_size], the fewest bytes that complete the text behind each token; FAR: not allowed."""
        state = self._sharing(state)
        found = self._costs.get(state)
        if found is None:
            found = self._computed(state)
            if (len(self._costs) + 1) * found.nbytes > COST_BYTES:
                self._costs.clear()
            self._costs[state] = found
        return found

    def _computed(self, state: State) -> Int32:
        cost = self._walk(state)
        cost[0] = FAR  # tokens without text
        return cost[self.trie.node]

    def _sharing(self, state: State) -> State:
        """The same, where counts go beyond what one token can reach: such states have one mask."""
        longest = self.trie.longest
        if not any(thread.most is not None and thread.most > longest for thread in state.threads):
            return state
        shared = (each._replace(most=None) if (each.most or 0) > longest else each for each in state.threads)
        return State(frozenset(shared), state.accepting)

    def _walk(self, state: State) -> Int32:
        """int32 [nodes], the same for every node of the tree."""
        cost = np.full(len(self.trie.byte), FAR, np.int32)
        behind: dict[Tail | None, list[Int32]] = {}
        for thread in state.threads:
            self._note(thread, self._from_root(thread), cost, behind, once=True)
        while behind:
            tail, places = behind.popitem()
            nodes = self._each_once(places)
            for thread in self.machine.expand(tail).threads:
                found = reach(self.trie, thread.automaton, nodes, thread.state, thread.most != 0)
                self._note(thread, found, cost, behind, once=len(nodes) == 1)
        return cost

    def _each_once(self, places: list[Int32]) -> Int32:
        """Nodes of several lists, in the order of the tree."""
        among = np.zeros(len(self.trie.byte), np.bool_)
        for nodes in places:
            among[nodes] = True
        return np.flatnonzero(among).astype(np.int32)

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

    def _note(
        self, thread: Thread, found: Reach, cost: Int32, behind: dict[Tail | None, list[Int32]], once: bool
    ) -> None:
        """Lower the costs of the nodes that a thread comes to, and note those where it ends.

        Args:
            once: whether it comes to no node twice.
        """
        automaton, _, least, most, tail = thread
        nodes, costs, used, ends = found.nodes, found.costs, found.used, found.ends
        rest = 0 if tail is None else tail.cost
        if least or (most is not None and found.most_used > most):
            limit = found.most_used if most is None else most
            alive = used <= limit
            ends = ends[(found.ends_used >= least) & (found.ends_used <= limit)]
            nodes, costs = nodes[alive], costs[alive] + np.maximum(least - used[alive], 0) * automaton.distance[0]
        costs = np.minimum(costs + rest, FAR - 1).astype(np.int32, copy=False)
        if once:
            cost[nodes] = np.minimum(cost[nodes], costs)
        else:
            np.minimum.at(cost, nodes, costs)
        if len(ends):
            behind.setdefault(tail, []).append(ends)
