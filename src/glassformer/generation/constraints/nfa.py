"""From a pattern to an automaton that may be in several states at once (Thompson 1968)."""

from collections.abc import Callable, Sequence

from glassformer.generation.constraints.code_points import Ranges, byte_sequences
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.pattern import Branches, Bytes, Characters, Pattern, Repeated, Series

MAX_STATES = 50_000
Edge = tuple[int, int, int]  # first byte, last byte, state after it
Spelling = Callable[[Ranges], Sequence[tuple[tuple[int, int], ...]]]


def plainly(ranges: Ranges) -> Sequence[tuple[tuple[int, int], ...]]:
    """Characters as UTF-8."""
    return list(byte_sequences(ranges))


class Nfa:
    """States with edges over ranges of bytes, and edges that read nothing.

    Attributes:
        edges: of each state.
        free: states that each state is at the same time.
        start, end: where texts begin, and where those that match end.
    """

    def __init__(self, pattern: Pattern, spelling: Spelling = plainly) -> None:
        """`spelling`: the bytes that spell a set of characters.

        Raises:
            ConstraintError: for a pattern that needs more than `MAX_STATES` states.
        """
        self.edges: list[list[Edge]] = []
        self.free: list[list[int]] = []
        self._spelling = spelling
        self._spelled: dict[Ranges, Sequence[tuple[tuple[int, int], ...]]] = {}
        self.start, self.end = self._state(), self._state()
        self._add(pattern, self.start, self.end)

    def _state(self) -> int:
        if len(self.edges) >= MAX_STATES:
            raise ConstraintError(
                f"the pattern needs more than {MAX_STATES} states; repeat less, or give fewer and shorter texts"
            )
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def _add(self, pattern: Pattern, start: int, end: int) -> None:
        """Ways from `start` to `end` for every text of the pattern."""
        if isinstance(pattern, Characters):
            if pattern.ranges not in self._spelled:
                self._spelled[pattern.ranges] = self._spelling(pattern.ranges)
            for sequence in self._spelled[pattern.ranges]:
                self._add_sequence(sequence, start, end)
        elif isinstance(pattern, Bytes):
            self._add_sequence([(byte, byte) for byte in pattern.data], start, end)
        elif isinstance(pattern, Series):
            for part in pattern.parts:
                after = self._state()
                self._add(part, start, after)
                start = after
            self.free[start].append(end)
        elif isinstance(pattern, Branches):
            for option in pattern.options:
                self._add(option, start, end)
        else:
            self._add_repeated(pattern, start, end)

    def _add_sequence(self, sequence: Sequence[tuple[int, int]], start: int, end: int) -> None:
        if not sequence:
            self.free[start].append(end)
        for place, (first, last) in enumerate(sequence):
            after = end if place == len(sequence) - 1 else self._state()
            self.edges[start].append((first, last, after))
            start = after

    def _add_repeated(self, repeated: Repeated, start: int, end: int) -> None:
        for _ in range(repeated.least):
            after = self._state()
            self._add(repeated.part, start, after)
            start = after
        if repeated.most is None:
            around, inside = self._state(), self._state()
            self.free[start].append(around)
            self._add(repeated.part, around, inside)
            self.free[inside].append(around)
            start = around
        else:
            for _ in range(repeated.most - repeated.least):
                self.free[start].append(end)
                after = self._state()
                self._add(repeated.part, start, after)
                start = after
        self.free[start].append(end)
