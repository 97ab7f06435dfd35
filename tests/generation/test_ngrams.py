"""The index of short sequences against a search through the whole text."""

import numpy as np
import pytest

from glassformer.generation.ngrams import LONGEST, NgramIndex


def searched(ids: list[int]) -> tuple[int, int]:
    """The definition: the longest end of the text that stands earlier too, at its latest place."""
    for length in range(min(LONGEST, len(ids)), 1, -1):
        for place in range(len(ids) - 1, length - 1, -1):
            if ids[place - length : place] == ids[-length:]:
                return length, place
    return 0, 0


@pytest.mark.parametrize("kinds", [1, 2, 3, 10])
def test_it_finds_what_a_search_finds(kinds: int) -> None:
    ids = np.random.default_rng(kinds).integers(0, kinds, 120).tolist()
    index = NgramIndex(ids[:5])
    for token in ids[5:]:
        index.push(token)
        assert index.match() == searched(index.ids)
    assert index.ids == ids


def test_nothing_is_found_in_nothing_and_in_what_never_repeats() -> None:
    assert NgramIndex([]).match() == (0, 0)
    assert NgramIndex([4]).match() == (0, 0)
    assert NgramIndex(range(50)).match() == (0, 0)


def test_a_repeat_goes_round_where_the_text_ends() -> None:
    index = NgramIndex([9, 1, 2, 3, 1, 2, 3])
    assert index.match() == (3, 4)
    assert index.repeat(4, 2) == [1, 2]
    assert index.repeat(4, 8) == [1, 2, 3, 1, 2, 3, 1, 2]
    assert index.repeat(4, 0) == []
