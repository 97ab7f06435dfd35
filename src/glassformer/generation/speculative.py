"""Prompt-lookup decoding (Saxena 2023; verification: Leviathan et al. 2022, arXiv:2211.17192): where a text repeats
itself, it is guessed, and the network reads several guesses in one pass.

A pass over a few tokens costs little more than one over a single token, because the weights are read once. Each token
is chosen from the logits at its place, with the random number of its place, as if there were no guess; a guess only
decides whether those logits are there already. So the tokens are the same, drawn or not.
"""

from collections.abc import Sequence

from glassformer.generation.ngrams import LONGEST, NgramIndex

SIZES = (3, 7, 15)  # of drafts: with the token before them 4, 8 or 16 rows, which fill the tiles of the kernels
FORGET = 0.98  # an old outcome's weight beside the one after it
DOUBT = 8.0  # outcomes that the first estimate is worth
GUESSED_BEFORE = 0.25  # share of right guesses that is assumed at first
ROW_COST = 0.2  # of a further row in a pass, as a share of a pass with one row, until it is known
FIRST_GAIN = 1.5  # expected gain that is worth a first draft, for which the network may have to prepare
GAIN = 1.1


class Accuracy:
    """How often guesses were right lately."""

    def __init__(self) -> None:
        self.right, self.judged = GUESSED_BEFORE * DOUBT, DOUBT

    def judge(self, right: bool) -> None:
        """Note an outcome."""
        self.right = self.right * FORGET + right
        self.judged = self.judged * FORGET + 1.0

    @property
    def rate(self) -> float:
        """The probability that the next guess is right."""
        return self.right / self.judged


class Costs:
    """What passes cost by their number of rows, in passes of one row: an assumption that measured times correct."""

    def __init__(self) -> None:
        self._one = 0.0
        self._of: dict[int, float] = {size + 1: 1.0 + ROW_COST * size for size in SIZES}
        self._prepared: set[int] = set()

    def note(self, rows: int, seconds: float) -> None:
        """A pass took so long. The first one of so many rows does not count: it may have prepared for all others."""
        if rows == 1:
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
        self._accuracy = tuple(Accuracy() for _ in range(LONGEST + 1))
        self._costs = Costs()
        self._length, self._place = self._index.match()
        self._drafted = False

    def propose(self, room: int) -> list[int]:
        """Ids that may come next, at most `room` of them; none where that would not pay."""
        size = self._best_size(self._accuracy[self._length].rate, room) if self._length else 0
        if size == 0:
            return []
        self._drafted = True
        return self._index.repeat(self._place, size)

    def _best_size(self, rate: float, room: int) -> int:
        """The size of draft that brings most tokens for its cost, 0 where none pays."""
        best, gain = 0, GAIN if self._drafted else FIRST_GAIN
        for size in SIZES:
            tokens = (1.0 - rate ** (size + 1)) / (1.0 - rate)  # 1 + rate + rate^2 + ..., as far as all are right
            if size <= room and tokens > gain * self._costs.of(size + 1):
                best, gain = size, tokens / self._costs.of(size + 1)
        return best

    def chosen(self, token: int) -> None:
        """The text went on with this token."""
        if self._length:
            self._accuracy[self._length].judge(self._index.ids[self._place] == token)
        self._index.push(token)
        self._length, self._place = self._index.match()

    def passed(self, rows: int, seconds: float) -> None:
        """A pass over so many rows took so long."""
        self._costs.note(rows, seconds)
