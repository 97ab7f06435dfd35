"""Where the last tokens of a text stood before: an index of short sequences that grows with the text."""

from collections.abc import Sequence

LONGEST = 3  # tokens of a sequence that is looked up


class NgramIndex:
    """For every sequence of up to LONGEST tokens in a text, the place after its latest occurrence.

    Pushing a token and looking up take a few dictionary accesses, however long the text is.

    Attributes:
        ids: the text so far.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids: list[int] = []
        self._after: tuple[dict[tuple[int, ...], int], ...] = tuple({} for _ in range(LONGEST))
        for token in ids:
            self.push(token)

    def push(self, token: int) -> None:
        """The text goes on with this token."""
        ids, end = self.ids, len(self.ids)
        for length, after in enumerate(self._after[:end], 1):
            after[tuple(ids[end - length :])] = end
        ids.append(token)

    def match(self) -> tuple[int, int]:
        """(length, place): the longest end of the text that occurred before, and what place followed it; (0, 0): none.

        The end of the text itself is no occurrence, because nothing follows it yet.
        """
        for length in range(min(LONGEST, len(self.ids)), 0, -1):
            place = self._after[length - 1].get(tuple(self.ids[-length:]))
            if place is not None:
                return length, place
        return 0, 0

    def repeat(self, place: int, count: int) -> list[int]:
        """The `count` tokens from a place on; where the text ends, it goes on with what was just repeated."""
        period = len(self.ids) - place
        whole = self.ids[place : place + count]
        return [whole[i % period] for i in range(count)]
