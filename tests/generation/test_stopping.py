"""Stop strings in text cut anywhere, and how much room a prompt leaves."""

import itertools
import random

import pytest

from glassformer.generation.errors import ContextError
from glassformer.generation.options import GenerationOptions
from glassformer.generation.stopping import StopStrings, check_fits, room


def fed(strings: list[str], pieces: list[str]) -> tuple[str, bool]:
    """Text shown and whether a stop string ended it; no piece may show what a stop string takes back."""
    stop = StopStrings(strings)
    shown = ""
    for piece in pieces:
        text, stopped = stop.push(piece)
        shown += text
        if stopped:
            assert stop.flush() == ""
            return shown, True
    return shown + stop.flush(), False


def by_definition(strings: list[str], text: str) -> tuple[str, bool]:
    """Character by character: the text ends where a stop string is first complete."""
    for end in range(len(text) + 1):
        complete = [string for string in strings if text[:end].endswith(string)]
        if complete:
            return text[: end - max(map(len, complete))], True
    return text, False


CASES = [
    (["end"], "to the end of it"),
    (["end"], "the enend"),
    (["abc", "bcd"], "xabdabcd"),
    (["abcdef", "cd"], "abcdef"),
    (["aab"], "aaaaab"),
    (["\n\n", "\nB"], "A\nA\n\nB"),
    (["never"], "nev nevel neve"),
    (["c", "bc", "abc"], "ababc"),
    (["é€"], "aéé€b"),
    (["a"], ""),
    ([], "anything"),
]


@pytest.mark.parametrize(("strings", "text"), CASES)
def test_every_way_to_cut_the_text_gives_the_same(strings: list[str], text: str) -> None:
    wanted = by_definition(strings, text)
    assert fed(strings, [text]) == wanted
    assert fed(strings, list(text)) == wanted
    for cuts in itertools.combinations(range(len(text) + 1), 2):
        assert fed(strings, [text[: cuts[0]], text[cuts[0] : cuts[1]], text[cuts[1] :]]) == wanted


def test_random_texts_over_two_letters() -> None:
    source = random.Random(5)
    for _ in range(1000):
        text = "".join(source.choices("ab", k=source.randrange(12)))
        strings = ["".join(source.choices("ab", k=source.randrange(1, 5))) for _ in range(source.randrange(1, 4))]
        places = sorted(source.choices(range(len(text) + 1), k=3))
        pieces = [text[a:b] for a, b in itertools.pairwise([0, *places, len(text)])]
        assert fed(strings, pieces) == by_definition(strings, text), (strings, pieces)


def test_text_is_held_back_no_longer_than_needed() -> None:
    stop = StopStrings(["end", "den"])
    assert stop.push("the e") == ("the ", False)
    assert stop.push("n") == ("", False)
    assert stop.push("x") == ("enx", False)
    assert stop.push("wid") == ("wi", False)
    assert stop.push("e") == ("", False)
    assert stop.flush() == "de"


def options(max_new_tokens: int | None = None, max_length: int | None = None) -> GenerationOptions:
    return GenerationOptions(max_new_tokens=max_new_tokens, max_length=max_length)


def test_the_tightest_limit_counts() -> None:
    assert room(10, 64, options(max_new_tokens=5)) == 5
    assert room(10, 64, options(max_length=12)) == 2
    assert room(10, 64, options(max_new_tokens=5, max_length=12)) == 2
    assert room(10, 64, options(max_new_tokens=1, max_length=12)) == 1


def test_the_window_limits_what_is_read() -> None:
    assert room(10, 64, options()) == 55, "the last token written is never read"
    assert room(64, 64, options()) == 1
    assert room(64, 64, options(max_new_tokens=100)) == 1


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(ContextError, match=r"65 tokens .* holds 64") as caught:
        room(65, 64, options())
    assert (caught.value.tokens, caught.value.limit) == (65, 64)
    with pytest.raises(ContextError, match=r"12 tokens and max_length is 12") as caught:
        room(12, 64, options(max_length=12))
    assert (caught.value.tokens, caught.value.limit) == (12, 11)
    check_fits(64, 64)
