"""The readable twin of byte-pair encoding, against the definition and for its cost."""

import random
from itertools import pairwise

import pytest

from glassformer.tokenizer.bpe import BytePairEncoder, Merges, merge_symbols
from glassformer.tokenizer.byte_alphabet import ALPHABET, spell, unspell
from glassformer.tokenizer.vocabulary import Vocabulary, build_vocabulary


def by_definition(symbols: list[int], merges: Merges) -> list[int]:
    """Quadratic: look at all pairs, join the leftmost of the lowest rank, start again."""
    symbols = list(symbols)
    while True:
        found = [(merges[pair][0], place) for place, pair in enumerate(pairwise(symbols)) if pair in merges]
        if not found:
            return symbols
        _, place = min(found)
        symbols[place : place + 2] = [merges[symbols[place], symbols[place + 1]][1]]


def random_merges(rng: random.Random, alphabet: int, count: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Merges in no sensible order: a joined symbol may occur in a pair of lower rank than its own."""
    pairs = [(rng.randrange(alphabet + count), rng.randrange(alphabet + count)) for _ in range(count)]
    return {pair: (rank, alphabet + rank) for rank, pair in enumerate(dict.fromkeys(pairs))}


@pytest.mark.parametrize("seed", range(100))
def test_equals_the_definition(seed: int) -> None:
    rng = random.Random(seed)
    merges = random_merges(rng, alphabet=3, count=rng.randrange(1, 40))
    symbols = [rng.randrange(3) for _ in range(rng.randrange(60))]
    assert merge_symbols(symbols, merges) == by_definition(symbols, merges)


def letters_vocabulary(*merges: tuple[str, str]) -> Vocabulary:
    """All bytes, and the given merges."""
    tokens = [*ALPHABET, *dict.fromkeys(a + b for a, b in merges)]
    return build_vocabulary({token: number for number, token in enumerate(tokens)}, merges, [], "merges")


def test_a_long_run_of_equal_letters() -> None:
    vocabulary = letters_vocabulary(*(("a" * 2**k, "a" * 2**k) for k in range(8)))
    ids = BytePairEncoder(vocabulary).encode("a" * 50_001)
    assert [vocabulary.tokens[number] for number in ids[-4:]] == [b"a" * 256, b"a" * 64, b"a" * 16, b"a"]
    assert sum(len(vocabulary.tokens[number]) for number in ids) == 50_001


def test_the_lowest_rank_wins_and_then_the_leftmost() -> None:
    vocabulary = letters_vocabulary(("b", "c"), ("a", "b"), ("a", "a"))
    encoder = BytePairEncoder(vocabulary)
    assert [vocabulary.tokens[n] for n in encoder.encode("abc")] == [b"a", b"bc"]
    assert [vocabulary.tokens[n] for n in encoder.encode("aaab")] == [b"aa", b"ab"]
    assert [vocabulary.tokens[n] for n in encoder.encode("aaa")] == [b"aa", b"a"]


def test_bytes_without_a_token_are_left_out() -> None:
    vocabulary = build_vocabulary({"a": 0, "b": 1, "ab": 2}, [("a", "b")], [], "merges")
    assert BytePairEncoder(vocabulary).encode("axb") == [2]
    assert BytePairEncoder(vocabulary).encode("é") == []


def test_the_byte_alphabet() -> None:
    assert len(set(ALPHABET)) == 256
    assert spell(b" the\n\x00\xff") == "ĠtheĊĀÿ"
    assert all(unspell(spell(bytes([byte]))) == bytes([byte]) for byte in range(256))
    assert unspell("a b") == b"a b"
    assert unspell("文") == "文".encode()
