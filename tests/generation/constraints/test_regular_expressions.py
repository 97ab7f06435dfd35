"""Automata of regular expressions beside Python's `re`."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassformer.generation.constraints.automaton import Automaton, combined, compiled, exactly
from glassformer.generation.constraints.code_points import ANY, byte_sequences, complement, joined, without
from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.regex_reader import read_whole, read_within

ALPHABET = "abz019 _-é😀\n"
ATOMS = st.sampled_from(
    ["a", "b", "z", "0", " ", "é", "😀", ".", r"\d", r"\w", r"\s", "[a-c]", "[^a0]", r"[\d_-]", r"\-"]
)
QUANTIFIERS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "{0,0}"])


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.builds("({}){}".format, inner, QUANTIFIERS)
    other = st.builds("(?:{}|{})".format, inner, inner)
    return st.one_of(group, other, st.builds("{}{}".format, inner, inner))


EXPRESSIONS = st.recursive(st.builds("{}{}".format, ATOMS, QUANTIFIERS), combine, max_leaves=6)


def automaton_of(expression: str) -> Automaton:
    return compiled(read_whole(expression))


def some_texts(automaton: Automaton, count: int) -> list[bytes]:
    """Texts of an automaton: ways that turn to the nearest end sooner or later."""
    found = []
    for seed in range(1, count + 1):
        state, text, number = 0, b"", seed * 2654435761
        while not (automaton.accepting[state] and (number % 3 == 0 or not automaton.goes_on[state])):
            number = number * 6364136223846793005 % 2**64 // 3 + 1
            nexts = [b for b in range(256) if automaton.next(state, b) >= 0]
            if len(text) > 12:
                nexts.sort(key=lambda b: automaton.distance[automaton.next(state, b)])
                nexts = nexts[:1]
            text += bytes([nexts[number % len(nexts)]])
            state = automaton.next(state, text[-1])
        found.append(text)
    return found


@settings(max_examples=120, deadline=None, derandomize=True)
@given(EXPRESSIONS, st.lists(st.text(ALPHABET, max_size=6), min_size=12, max_size=12))
def test_an_automaton_matches_what_re_matches(expression: str, texts: list[str]) -> None:
    if "." in expression:  # which in other dialects leaves out more line ends than Python's
        texts = [text.replace("\r", "") for text in texts]
    automaton = automaton_of(expression)
    for text in texts:
        assert automaton.matches(text.encode()) == bool(re.fullmatch(expression, text, re.ASCII)), (expression, text)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(EXPRESSIONS)
def test_what_an_automaton_makes_is_utf8_that_re_matches(expression: str) -> None:
    for text in some_texts(automaton_of(expression), 5):
        assert re.fullmatch(expression, text.decode(), re.ASCII), (expression, text)


@pytest.mark.parametrize(
    "expression", [r"\S", r"\D", r"\W", r"[^\s]", r"[^\d]", r"[^\w]", r"[^\W]", r"[^\Da]", r"[\S\n]"]
)
def test_complements_hold_what_every_dialect_accepts(expression: str) -> None:
    automaton = automaton_of(expression)
    letters = [*map(chr, range(0x300)), "\u0660", "\u2028", "\u3000", "\ufeff", "²", "一", "😀"]
    accepted = [letter for letter in letters if automaton.matches(letter.encode())]
    assert all(re.fullmatch(expression, each) and re.fullmatch(expression, each, re.ASCII) for each in accepted)
    for letter in map(chr, (*range(0x1C), *range(0x20, 0x80))):  # those between are spaces to Python alone
        assert (letter in accepted) == bool(re.fullmatch(expression, letter))


def test_equal_states_are_one() -> None:
    assert len(automaton_of("(a|b)*abb").table) == 4  # the smallest, as textbooks give it
    assert len(automaton_of("(?:abc|dbc|xbc)").table) == 4
    assert len(automaton_of("a*a*a*").table) == 1
    assert len(exactly([b"hot", b"hit", b"pit", b"pot"]).table) == 4


def test_texts_can_be_taken_away_and_shared() -> None:
    letters, words = automaton_of("[a-z]{1,4}"), automaton_of("foo|bar|x")
    left = combined(letters, words, False, "the rest")
    assert [left.matches(each) for each in (b"foo", b"fo", b"fooo", b"x", b"y", b"")] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]
    both = combined(letters, automaton_of("f.*|.*[0-9]"), True, "both")
    assert [both.matches(each) for each in (b"foo", b"f", b"a", b"a1", b"fffff")] == [True, True, False, False, False]
    with pytest.raises(ConstraintError, match="no text matches both"):
        combined(letters, automaton_of("[0-9]"), True, "both")


def test_distances_are_those_to_the_nearest_end() -> None:
    automaton = automaton_of("ab{3}|axyzzy")
    state = automaton.next(0, ord("a"))
    assert [int(automaton.distance[s]) for s in (0, state, automaton.next(state, ord("x")))] == [4, 3, 4]


def test_a_pattern_of_a_schema_may_stand_anywhere() -> None:
    for expression in ("b+", "^b", "b$", "^a|b$", "^(a|b)$", "^$", "a|^"):
        automaton = compiled(read_within(expression))
        for text in ("", "a", "b", "ab", "ba", "abba", "c", "cbc", "xb", "ax"):
            assert automaton.matches(text.encode()) == bool(re.search(expression, text)), (expression, text)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 0x10FFFF), st.integers(0, 70_000)), max_size=3))
def test_sequences_of_bytes_spell_just_the_set(starts: list[tuple[int, int]]) -> None:
    ranges = joined((first, min(first + length, 0x10FFFF)) for first, length in starts)
    sequences = list(byte_sequences(ranges))
    count = 0
    for sequence in sequences:
        size = 1
        for low, high in sequence:
            size *= high - low + 1
        count += size
        for end in (0, 1):
            point = ord(bytes(each[end] for each in sequence).decode())
            assert any(first <= point <= last for first, last in ranges)
    assert count == sum(last - first + 1 for first, last in without(ranges, ((0xD800, 0xDFFF),)))
    assert joined([*complement(ranges), *without(ranges, ((0xD800, 0xDFFF),))]) == ANY


@pytest.mark.parametrize(
    ("expression", "place", "what"),
    [
        ("(a", 3, "not closed"),
        ("a)", 2, "closes no group"),
        ("[a", 1, "not closed"),
        ("*a", 1, "nothing before"),
        ("a**", 2, "quantifier behind"),
        ("a{3,1}", 2, "at least 3"),
        ("(?=a)", 2, "lookahead"),
        (r"(a)\1", 4, "not supported"),
        (r"\bword", 1, "not supported"),
        ("a^b", 2, "around a whole"),
        ("(^a)", 2, "around a whole"),
        ("[]a]", 1, "empty class"),
        ("a{,3}", 2, "differently"),
        (r"\p{L}", 1, "not supported"),
        ("a++", 2, "quantifier behind"),
        ("[z-a]", 2, "range"),
        ("(?i)a", 2, "flags"),
        ("ab\\", 4, "ends where"),
        (r"\ud800", 1, "hexadecimal"),
        ("a{200000}", 2, "most that"),
    ],
)
def test_what_is_not_supported_is_refused_with_its_place(expression: str, place: int, what: str) -> None:
    with pytest.raises(ConstraintError, match=what) as caught:
        read_whole(expression)
    assert caught.value.path == f"character {place} of the pattern"
