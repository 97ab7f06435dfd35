"""Where the last tokens of a text stood before: an index of pairs and triples that grows with the text."""

from collections.abc import Sequence

LONGEST = 3  # tokens that are looked up; a single one stands before too many others to say what follows


class NgramIndex:
    """For every two and every three tokens in a row of a text, the place after their latest occurrence.

    Pushing a token and looking up take a few dictionary accesses, however long the text is.

    Attributes:
        ids: the text so far.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids: list[int] = []
        self._after_pair: dict[tuple[int, int], int] = {}
        self._after_triple: dict[tuple[int, int, int], int] = {}
        self._last = self._before = self._earlier = -1  # the last three ids
        for token in ids:
            self.push(token)

    def push(self, token: int) -> None:
        """The text goes on with this token."""
        end = len(self.ids)
        self._after_pair[self._before, self._last] = end
        self._after_triple[self._earlier, self._before, self._last] = end
        self._earlier, self._before, self._last = self._before, self._last, token
        self.ids.append(token)

    def match(self) -> tuple[int, int]:
        """(length, place): the longest end of the text that occurred before, and what place followed it; (0, 0): none.

        The end of the text itself is no occurrence, because nothing follows it yet.
        """
        place = self._after_triple.get((self._earlier, self._before, self._last))
        if place is not None and self._earlier >= 0:
            return 3, place
        place = self._after_pair.get((self._before, self._last))
        if place is not None and self._before >= 0:
            return 2, place
        return 0, 0

    def repeat(self, place: int, count: int) -> list[int]:
        """The `count` tokens from a place on; where the text ends, it goes on with what was just repeated."""
        period = len(self.ids) - place
        whole = self.ids[place : place + count]
        return whole if count <= period else [whole[i % period] for i in range(count)]
