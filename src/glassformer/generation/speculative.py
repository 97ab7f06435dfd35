"""Prompt-lookup decoding (Saxena 2023; verification: Leviathan et al. 2022, arXiv:2211.17192): where a text repeats
itself, it is guessed, and the network reads several guesses in one pass.

A pass over a few tokens costs little more than one over a single token, because the weights are read once. Each token
is chosen from the logits at its place, with the random number of its place, as if there were no guess; a guess only
decides whether those logits are there already. So the tokens are the same, drawn or not.
"""

from collections.abc import Sequence

from glassformer.generation.ngrams import NgramIndex

SIZES = (3, 7, 15)  # of drafts: with the token before them 4, 8 or 16 rows, which fill the tiles of the kernels
FORGET = 0.98  # an old outcome's weight beside the one after it
DOUBT = 4.0  # outcomes that the first estimate is worth
# The share of right guesses that is assumed at first: of those that go on behind a wrong one, of those that follow two
# or three known tokens, and of those behind one, two, ... right ones in a row.
FRESH = (0.2, 0.2, 0.3)
RUNS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97)
ROW_COST = 0.2  # of a further row in a pass, as a share of a pass with one row, until it is known
FIRST_GAIN = 1.5  # expected gain that is worth a first draft, for which the network may have to prepare
GAIN = 1.1
# Passes that take less (seconds) are hardly dearer than the look-ups; after so many of them guessing is given up.
CHEAP, ENOUGH = 150e-6, 4


class Accuracy:
    """How often guesses of one kind were right lately."""

    def __init__(self, assumed: float) -> None:
        self._right, self._judged = assumed * DOUBT, DOUBT
        self.rate = assumed

    def judge(self, right: bool) -> None:
        """Note an outcome."""
        self._right = self._right * FORGET + right
        self._judged = self._judged * FORGET + 1.0
        self.rate = self._right / self._judged


class Costs:
    """What passes cost by their number of rows, in passes of one row: an assumption that measured times correct."""

    def __init__(self) -> None:
        self._one, self._singles = 0.0, 0
        self._of: dict[int, float] = {size + 1: 1.0 + ROW_COST * size for size in SIZES}
        self._prepared: set[int] = set()

    @property
    def cheap(self) -> bool:
        """Whether passes cost so little that there is nothing to save."""
        return self._singles >= ENOUGH and self._one < CHEAP

    def note(self, rows: int, seconds: float) -> None:
        """A pass took so long. The first one of so many rows does not count: it may have prepared for all others."""
        if rows == 1:
            self._singles += 1
            self._one = seconds if self._one == 0.0 else min(seconds, 1.05 * self._one)
        elif rows in self._prepared and self._one > 0.0:
            self._of[rows] = 0.5 * (self._of[rows] + min(seconds / self._one, 2.0 * self._of[rows]))
        elif rows in self._of:
            self._prepared.add(rows)

    def of(self, rows: int) -> float:
        """The cost of a pass."""
        return self._of[rows]


class Drafter:
    """Guesses how a text goes on, and decides how many guesses are worth a pass.

    Every token is guessed, and only where guesses prove right are they given to the network: a text that does not
    repeat costs some dictionary look-ups.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self._index = NgramIndex(prompt)
        # By what a guess stands on: places 0 to 2 for its origin (FRESH), then by the right guesses before it (RUNS).
        self._kinds = [Accuracy(assumed) for assumed in (*FRESH, *RUNS)]
        self._costs = Costs()
        self._drafted = False
        self.run = 0  # right guesses in a row
        self._origin, self._place = self._find(-1)

    def _find(self, following: int) -> tuple[int, int]:
        """Which of FRESH a guess is, and the place of the guessed token; a place of -1: there is none.

        Args:
            following: the place behind the last guess, where the text goes on if it only changed a token; or -1.
        """
        length, place = self._index.match()
        if length:
            return length - 1, place
        return 0, following if following < len(self._index.ids) else -1

    def _kind(self, run: int) -> Accuracy:
        """What a guess behind so many right ones in a row stands on."""
        return self._kinds[len(FRESH) + min(run, len(RUNS)) - 1 if run else self._origin]

    def propose(self, room: int) -> list[int]:
        """Ids that may come next, at most `room` of them; none where that would not pay."""
        size = self._best_size(room) if self._place >= 0 else 0
        if size == 0:
            return []
        self._drafted = True
        return self._index.repeat(self._place, size)

    def _best_size(self, room: int) -> int:
        """The size of draft that brings most tokens for its cost, 0 where none pays."""
        best, gain = 0, GAIN if self._drafted else FIRST_GAIN
        tokens = chance = 1.0  # expected to come of the pass; that all guesses so far are right
        for size in range(1, min(room, SIZES[-1]) + 1):
            chance *= self._kind(self.run + size - 1).rate
            tokens += chance
            if size in SIZES and tokens > gain * self._costs.of(size + 1):
                best, gain = size, tokens / self._costs.of(size + 1)
            if chance < 0.05:
                break
        return best

    def chosen(self, token: int) -> None:
        """The text went on with this token."""
        following = -1
        if self._place >= 0:
            right = self._index.ids[self._place] == token
            self._kind(self.run).judge(right)
            self.run = self.run + 1 if right else 0
            following = self._place + 1
        self._index.push(token)
        self._origin, self._place = self._find(following)

    @property
    def idle(self) -> bool:
        """Whether guessing cannot pay here, whatever the text."""
        return self._costs.cheap

    def passed(self, rows: int, seconds: float) -> None:
        """A pass over so many rows took so long."""
        self._costs.note(rows, seconds)
