"""Deterministic automata over bytes: made from patterns by the subset construction, and small."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from glassformer.generation.constraints.effort import Effort
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.minimal import blocks
from glassformer.generation.constraints.nfa import Nfa, Spelling, plainly
from glassformer.generation.constraints.pattern import Pattern

Int32 = npt.NDArray[np.int32]
Rows = list[dict[int, int]]  # for each state, class of bytes -> next state

DEAD = -1
MAX_STATES = 20_000
LONGEST_TEXTS = 100_000
MAX_WORK = 500_000  # looks at an edge that making an automaton may take: about half a second


@dataclass(frozen=True, eq=False)
class Automaton:
    """Texts as ways through states. The first state is 0, and from every state an accepting one can be reached.

    Attributes:
        classes: uint8 [256], byte -> class; bytes of one class lead to the same states.
        table: int32 [states, classes], the next state, or `DEAD`.
        accepting: bool [states], whether a text may end here.
    """

    classes: npt.NDArray[np.uint8]
    table: Int32
    accepting: npt.NDArray[np.bool_]

    def next(self, state: int, byte: int) -> int:
        """The state after one more byte, or `DEAD`."""
        return int(self.table.item(state, self.classes.item(byte)))

    @cached_property
    def goes_on(self) -> npt.NDArray[np.bool_]:
        """bool [states], whether a text may have more bytes after a state."""
        found: npt.NDArray[np.bool_] = (self.table != DEAD).any(axis=1)
        return found

    @cached_property
    def distance(self) -> Int32:
        """int32 [states], the fewest bytes from a state to the end of a text."""
        found = np.full(len(self.accepting), -1, np.int32)
        before = self._before()
        level = np.flatnonzero(self.accepting).tolist()
        steps = 0
        while level:
            found[level] = steps
            steps += 1
            level = [state for state in {each for at in level for each in before[at]} if found[state] < 0]
        return found

    def _before(self) -> list[set[int]]:
        """For each state, those that lead to it."""
        before: list[set[int]] = [set() for _ in self.accepting]
        for state, column in zip(*np.nonzero(self.table != DEAD), strict=True):
            before[self.table[state, column]].add(int(state))
        return before

    def matches(self, text: bytes) -> bool:
        """Whether this is one of the texts."""
        state = 0
        for byte in text:
            state = self.next(state, byte)
            if state == DEAD:
                return False
        return bool(self.accepting[state])

    def restricted(self, alphabet: Sequence[bool]) -> Automaton | None:
        """The texts of which every byte has `alphabet[byte]`; None where there are none."""
        if all(alphabet):
            return self
        kept = [byte for byte in range(256) if alphabet[byte]]
        classes = np.zeros(256, np.uint8)
        classes[kept] = self.classes[kept] + 1
        if int(self.classes.max()) == 255:  # a class for each byte: none is left for those that are not in the alphabet
            raise ConstraintError("the constraint tells all 256 bytes apart; this vocabulary cannot spell them")
        table = np.full((len(self.table), self.table.shape[1] + 1), DEAD, np.int32)
        used = np.unique(self.classes[kept])
        table[:, used + 1] = self.table[:, used]
        rows = [dict(_alive(row)) for row in table.tolist()]
        return reduced(classes, rows, np.flatnonzero(self.accepting).tolist(), len(table[0]))


def _alive(row: Sequence[int]) -> Iterable[tuple[int, int]]:
    return ((column, after) for column, after in enumerate(row) if after != DEAD)


def compiled(
    pattern: Pattern, spelling: Spelling = plainly, what: str = "the pattern", effort: Effort | None = None
) -> Automaton:
    """The automaton of a pattern.

    effort: what it may take, beside `MAX_WORK`; as much is spent.

    Raises:
        ConstraintError: if no text matches, or if it needs too many states.
    """
    effort, nfa = effort or Effort(), Nfa(pattern, spelling)
    effort.spend(len(nfa.edges) + sum(map(len, nfa.edges)))
    classes, count = byte_classes(nfa)
    rows, accepting = _subsets(nfa, classes.tolist(), what, effort)
    found = reduced(classes, rows, accepting, count, effort)
    if found is None:
        raise ConstraintError(f"no text matches {what}; make it less strict")
    return found


def byte_classes(nfa: Nfa) -> tuple[npt.NDArray[np.uint8], int]:
    """Class of every byte, and how many there are: bytes that no edge tells apart are of one class."""
    bounds = {0}
    for edges in nfa.edges:
        for first, last, _ in edges:
            bounds |= {first, last + 1}
    starts = np.zeros(257, np.int64)
    starts[list(bounds)] = 1
    return (np.cumsum(starts[:256]) - 1).astype(np.uint8), len(bounds - {256})


def _subsets(nfa: Nfa, classes: Sequence[int], what: str, effort: Effort) -> tuple[Rows, list[int]]:
    """The subset construction (Rabin and Scott 1959): rows of the table, and the accepting states."""
    closures = _Closures(nfa, what, effort)
    states = [closures.of(frozenset([nfa.start]))]
    numbers = {states[0]: 0}
    rows = Rows()
    for subset in states:  # which grows meanwhile
        row = {}
        for column, after in _moves(nfa, classes, subset, closures).items():
            closed = closures.of(frozenset(after))
            if closed not in numbers:
                numbers[closed] = len(states)
                states.append(closed)
            row[column] = numbers[closed]
        rows.append(row)
        if len(states) > MAX_STATES:
            raise too_large(what)
    return rows, [number for number, subset in enumerate(states) if nfa.end in subset]


def _moves(nfa: Nfa, classes: Sequence[int], subset: frozenset[int], closures: _Closures) -> dict[int, set[int]]:
    """Class of bytes -> states of the undetermined automaton after it."""
    moves: dict[int, set[int]] = {}
    for state in subset:
        for first, last, after in nfa.edges[state]:
            closures.spend(1 + classes[last] - classes[first])
            for column in range(classes[first], classes[last] + 1):
                moves.setdefault(column, set()).add(after)
    return moves


class _Closures:
    """Which states an automaton is in beside given ones; counts the work."""

    def __init__(self, nfa: Nfa, what: str, effort: Effort) -> None:
        self._nfa, self._what, self._effort, self._work = nfa, what, effort, 0
        self._known: dict[frozenset[int], frozenset[int]] = {}

    def spend(self, work: int) -> None:
        self._work += work
        if self._work > MAX_WORK:
            raise too_large(self._what)
        self._effort.spend(work)

    def of(self, states: frozenset[int]) -> frozenset[int]:
        """Those that read something, and the end."""
        found = self._known.get(states)
        if found is None:
            found = self._known[states] = self._closed(states)
        return found

    def _closed(self, states: frozenset[int]) -> frozenset[int]:
        seen, stack = set(states), list(states)
        while stack:
            fresh = [state for state in self._nfa.free[stack.pop()] if state not in seen]
            seen.update(fresh)
            stack += fresh
        self.spend(len(seen))
        return frozenset(state for state in seen if self._nfa.edges[state] or state == self._nfa.end)


def too_large(what: str) -> ConstraintError:
    return ConstraintError(
        f"{what} needs too large an automaton (at most {MAX_STATES} states and {MAX_WORK} steps to make them); "
        "repeat less, or put what may vary at its end"
    )


def reduced(
    classes: npt.NDArray[np.uint8], rows: Rows, accepting: Collection[int], count: int, effort: Effort | None = None
) -> Automaton | None:
    """The smallest automaton with these texts: unreachable, hopeless and equal states gone; None for no text at all.

    Args:
        rows: state -> class -> next state; the first state is 0.
        count: how many classes there are.
        effort: what it may take.
    """
    if effort is not None:
        effort.spend(10 * len(rows) + 2 * sum(map(len, rows)))
    useful = _useful(rows, accepting)
    if 0 not in useful:
        return None
    alive = [{column: after for column, after in row.items() if after in useful} for row in rows]
    block = blocks([row if state in useful else {} for state, row in enumerate(alive)], accepting)
    order, numbers = [0], {block[0]: 0}  # a state for each block, in the order in which they are met
    for state in order:
        for _, after in sorted(alive[state].items()):
            if block[after] not in numbers:
                numbers[block[after]] = len(order)
                order.append(after)
    table = np.full((len(order), count), DEAD, np.int32)
    for number, state in enumerate(order):
        for column, after in alive[state].items():
            table[number, column] = numbers[block[after]]
    final = set(accepting)
    return Automaton(classes, table, np.array([state in final for state in order]))


def _useful(rows: Rows, accepting: Collection[int]) -> set[int]:
    """States from which a text can end."""
    before: list[list[int]] = [[] for _ in rows]
    for state, row in enumerate(rows):
        for after in set(row.values()):
            before[after].append(state)
    found, stack = set(accepting), list(accepting)
    while stack:
        fresh = {state for state in before[stack.pop()] if state not in found}
        found |= fresh
        stack += fresh
    return found


def combined(left: Automaton, right: Automaton, both: bool, what: str, effort: Effort | None = None) -> Automaton:
    """The texts of both automata; or those of the left that are not of the right.

    Raises:
        ConstraintError: if there are none, or too many states.
    """
    pairs = np.unique(np.stack([left.classes, right.classes]), axis=1, return_inverse=True)
    columns, classes = pairs[0].T.tolist(), pairs[1].reshape(-1).astype(np.uint8)  # [classes, 2], [256]
    states, numbers, rows = [(0, 0)], {(0, 0): 0}, Rows()
    for one, other in states:  # which grows meanwhile; a state of the right may be DEAD
        row = {}
        for column, (first, second) in enumerate(columns):
            after = int(left.table[one, first]), DEAD if other == DEAD else int(right.table[other, second])
            if after[0] == DEAD or (both and after[1] == DEAD):
                continue
            if after not in numbers:
                numbers[after] = len(states)
                states.append(after)
            row[column] = numbers[after]
        rows.append(row)
        if len(states) > MAX_STATES or len(states) * len(columns) > MAX_WORK:
            raise too_large(what)
    effort = effort or Effort()
    effort.spend(len(states) * len(columns))
    accepting = [
        number
        for number, (one, other) in enumerate(states)
        if left.accepting[one] and bool(other != DEAD and right.accepting[other]) == both
    ]
    found = reduced(classes, rows, accepting, len(columns), effort)
    if found is None:
        raise ConstraintError(f"no text matches {what}; make it less strict")
    return found


def exactly(texts: Iterable[bytes], effort: Effort | None = None) -> Automaton:
    """One of several texts, given as bytes; at least one.

    Raises:
        ConstraintError: if they are too long together.
    """
    texts = list(texts)
    symbols = sorted({byte for text in texts for byte in text})
    classes = np.zeros(256, np.uint8)
    if len(symbols) == 256:
        symbols = symbols[1:]  # the first of them keeps class 0, which all others leave
    for column, byte in enumerate(symbols, start=1):
        classes[byte] = column
    rows: Rows = [{}]
    accepting = set()
    for text in texts:
        state = 0
        for byte in text:
            column = int(classes[byte])
            if column not in rows[state]:
                rows[state][column] = len(rows)
                rows.append({})
                if len(rows) > LONGEST_TEXTS:
                    raise ConstraintError(f"the choices are longer than {LONGEST_TEXTS} bytes together; give fewer")
            state = rows[state][column]
        accepting.add(state)
    found = reduced(classes, rows, accepting, len(symbols) + 1, effort)
    if found is None:
        raise ConstraintError("there is nothing to choose from; give at least one text")
    return found
