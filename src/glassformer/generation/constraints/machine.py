"""Runs a grammar over bytes: an automaton with a stack, in all its possible states at once, each kept once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from glassformer.generation.constraints.automaton import DEAD, Automaton
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.grammar import Chain, Counted, Either, Grammar, Many, Node, Text

DEEPEST = 64  # rules within rules
MAX_THREADS = 2_000  # ways in which a text may be read at once
ONCE: int | None = 0
KEPT = 20_000  # expansions that are remembered
Cost = tuple[int, int]  # fewest bytes, rules within rules that they need
FAR = 1 << 30  # cost of what no text fulfils
HOPELESS = (FAR, FAR)


class Tail:
    """What has to come later: a node, and what comes behind it.

    Attributes:
        depth: how many rules the node is in.
        cost: the fewest bytes of all of it.
    """

    __slots__ = ("_hash", "cost", "depth", "node", "rest")

    def __init__(self, node: Node, depth: int, rest: Tail | None, cost: int) -> None:
        self.node, self.depth, self.rest, self.cost = node, depth, rest, cost
        self._hash = hash((node, depth, rest))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Tail):
            return self is other
        return (self._hash, self.depth, self.node) == (other._hash, other.depth, other.node) and self.rest == other.rest


class Thread(NamedTuple):
    """One way in which the text so far may be read: in a state of an automaton.

    `least` and `most` further texts of the automaton have to follow, and may, and then `tail`.
    """

    automaton: Automaton
    state: int
    least: int
    most: int | None
    tail: Tail | None


class State(NamedTuple):
    """All ways to read a text.

    Attributes:
        threads: those that go on.
        accepting: whether the text may end here.
    """

    threads: frozenset[Thread]
    accepting: bool


class Machine:
    """Reads texts of a grammar byte by byte.

    Attributes:
        start: the state of the empty text.

    Raises:
        ConstraintError: if the grammar has no text of bytes of the alphabet.
    """

    def __init__(self, grammar: Grammar, alphabet: Sequence[bool]) -> None:
        """`alphabet`: for each byte, whether it can be written."""
        self._grammar, self._alphabet = grammar, alphabet
        self._automata: dict[Automaton, Automaton | None] = {}
        self._costs: dict[Node, Cost] = {}
        self._expanded: dict[Tail | None, State] = {}
        self._measure()
        if self.cost(grammar.start) >= FAR:
            raise ConstraintError(
                "no text fulfils the constraint: a schema refers to itself without end, or this model's vocabulary "
                "lacks characters that it needs"
            )
        self.start = self.expand(self._tail(grammar.start, 0, None))

    def _measure(self) -> None:
        """The fewest bytes of every node, and how deep these nest: passes over all nodes until nothing changes."""
        nodes, rules = self._grammar.nodes(), self._grammar.rules
        known: dict[str, Cost] = dict.fromkeys(rules, HOPELESS)
        while True:
            for node in nodes:
                self._costs[node] = self._cost_of(node, known)
            found = {name: self._costs[node] for name, node in rules.items()}
            if found == known:
                return
            known = found

    def _cost_of(self, node: Node, rules: dict[str, Cost]) -> Cost:
        if isinstance(node, Text):
            automaton = self.restricted(node.automaton)
            return HOPELESS if automaton is None else (int(automaton.distance[0]), 0)
        if isinstance(node, Counted):
            automaton = self.restricted(node.unit)
            return _times(HOPELESS if automaton is None else (int(automaton.distance[0]), 0), node.least)
        if isinstance(node, Chain):
            costs = [self._costs[part] for part in node.parts]
            return min(sum(cost for cost, _ in costs), FAR), max((depth for _, depth in costs), default=0)
        if isinstance(node, Either):
            return min((self._costs[option] for option in node.options), default=HOPELESS)
        if isinstance(node, Many):
            return _times(self._costs[node.part], node.least)
        cost, depth = rules[node.name]
        return (cost, depth + 1) if depth < DEEPEST else HOPELESS

    def restricted(self, automaton: Automaton) -> Automaton | None:
        """The automaton over the alphabet."""
        if automaton not in self._automata:
            self._automata[automaton] = automaton.restricted(self._alphabet)
        return self._automata[automaton]

    def cost(self, node: Node) -> int:
        """The fewest bytes of a node."""
        if isinstance(node, Many) and node not in self._costs:  # one that is under way
            return _times(self._costs[node.part], node.least)[0]
        return self._costs[node][0]

    def _tail(self, node: Node, depth: int, rest: Tail | None) -> Tail:
        cost = self.cost(node) + (rest.cost if rest else 0)
        return Tail(node, depth, rest, min(cost, FAR))

    def expand(self, tail: Tail | None) -> State:
        """The state before the first byte of what has to come."""
        found = self._expanded.get(tail)
        if found is None:
            if len(self._expanded) >= KEPT:
                self._expanded.clear()
            found = self._expanded[tail] = self._expand(tail)
        return found

    def _expand(self, tail: Tail | None) -> State:
        threads: set[Thread] = set()
        seen: set[Tail | None] = set()
        stack = [tail]
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            if at is not None and at.cost < FAR:
                stack += self._unfold(at, threads)
            if len(threads) + len(seen) > MAX_THREADS:
                raise ConstraintError(
                    f"the text can be read in more than {MAX_THREADS} ways at once; give fewer alternatives or "
                    "optional properties"
                )
        return State(frozenset(threads), None in seen)

    def _unfold(self, at: Tail, threads: set[Thread]) -> Iterator[Tail | None]:
        """Add threads that begin here; what else may begin here."""
        node = at.node
        if isinstance(node, Text | Counted):
            yield from self._begin(at, node, threads)
        elif isinstance(node, Chain):
            rest = at.rest
            for part in reversed(node.parts):
                rest = self._tail(part, at.depth, rest)
            yield rest
        elif isinstance(node, Either):
            for option in node.options:
                yield self._tail(option, at.depth, at.rest)
        elif isinstance(node, Many):
            if node.least == 0:
                yield at.rest
            if node.most != 0:
                after = Many(node.part, max(0, node.least - 1), None if node.most is None else node.most - 1)
                yield self._tail(node.part, at.depth, self._tail(after, at.depth, at.rest))
        elif at.depth + self._costs[node][1] <= DEEPEST:
            yield self._tail(self._grammar.rules[node.name], at.depth + 1, at.rest)

    def _begin(self, at: Tail, node: Text | Counted, threads: set[Thread]) -> Iterator[Tail | None]:
        """The thread of a regular piece; what is behind it, if it may be empty."""
        if isinstance(node, Text):
            automaton, least, most = self.restricted(node.automaton), 0, ONCE
            if automaton is not None and automaton.accepting[0]:
                yield at.rest
        else:
            automaton, least = self.restricted(node.unit), max(0, node.least - 1)
            most = None if node.most is None else node.most - 1
            if node.least == 0:
                yield at.rest
        if automaton is not None and automaton.goes_on[0] and most != -1:
            threads.add(Thread(automaton, 0, least, most, at.rest))

    def after(self, state: State, text: Iterable[int]) -> State | None:
        """The state after some more bytes; None if no text goes on with them."""
        for byte in text:
            state = self._step(state, byte)
            if not state.threads and not state.accepting:
                return None
        return state

    def _step(self, state: State, byte: int) -> State:
        threads: set[Thread] = set()
        accepting = False
        for automaton, at, least, most, tail in state.threads:
            after = automaton.next(at, byte)
            if after == DEAD:
                continue
            if automaton.goes_on[after]:
                threads.add(Thread(automaton, after, least, most, tail))
            if automaton.accepting[after]:
                if most != 0:
                    further = None if most is None else most - 1
                    threads.add(Thread(automaton, 0, max(0, least - 1), further, tail))
                if least == 0:
                    behind = self.expand(tail)
                    threads |= behind.threads
                    accepting |= behind.accepting
        return State(frozenset(threads), accepting)


def _times(cost: Cost, count: int) -> Cost:
    return (min(cost[0] * count, FAR), cost[1]) if count else (0, 0)
