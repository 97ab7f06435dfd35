"""The compiled path: the readable twin's ids, in every mode, for any length, from several threads."""

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from tokenizer_peers import PIECES, SENTENCES, Peers

from glassformer.kernels.tokenizer_encode import CACHED_BYTES, CACHED_IDS
from glassformer.kernels.tokenizer_merge import SHORT
from glassformer.simd.target import runnable_targets
from glassformer.tokenizer.bpe import BytePairEncoder
from glassformer.tokenizer.byte_alphabet import ALPHABET
from glassformer.tokenizer.fast import SCRATCH_WORD, FastEncoder, new_cache
from glassformer.tokenizer.vocabulary import Vocabulary, build_vocabulary


def random_vocabulary(seed: int, letters: str = "abcé ") -> Vocabulary:
    """All bytes, and merges of a few letters in no sensible order: a low rank may need a high one."""
    rng = random.Random(seed)
    tokens = [*ALPHABET]
    merges: list[tuple[str, str]] = []
    symbols = [ALPHABET[byte] for byte in letters.encode()]
    for _ in range(60):
        merges.append((rng.choice(symbols), rng.choice(symbols)))
        symbols.append("".join(merges[-1]))
    rng.shuffle(merges)
    tokens += dict.fromkeys("".join(pair) for pair in merges)
    ids = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return build_vocabulary(ids, merges, [], "merges")


@pytest.mark.parametrize("seed", range(20))
def test_random_vocabularies_and_words_of_all_lengths(seed: int) -> None:
    vocabulary, rng = random_vocabulary(seed), random.Random(seed)
    fast, twin = FastEncoder(vocabulary), BytePairEncoder(vocabulary)
    borders = (8, 16, 24, CACHED_BYTES, SHORT, SCRATCH_WORD)
    lengths = [length + step for length in borders for step in (-1, 0, 1)] + [1, 2, 300]
    for length in lengths:
        text = "".join(rng.choices("abcé", (5, 3, 2, 1), k=length))
        assert fast.encode(text) == twin.encode(text) == fast.encode(text), ascii(text)
        text = "".join(rng.choices("abcé '\n1!", k=length))
        assert fast.encode(text) == twin.encode(text) == fast.encode(text), ascii(text)


def test_words_push_each_other_out_of_a_small_cache(trained: Peers) -> None:
    fast = FastEncoder(trained.ours.vocabulary)
    fast._cache = new_cache(2)
    text = " ".join(SENTENCES) * 3
    assert fast.encode(text) == trained.twin(text)


def test_words_that_differ_in_zero_bytes_only(trained: Peers) -> None:
    words = ["\0", "\0\0", "\0" * 8, "\0" * 9, "\0" * 32, "\0" * 33, "\1\0", "\1"]
    for first, second in pairwise(words + words[::-1]):
        trained.assert_equal(f"a{first}a{second}")


def test_word_with_more_ids_than_the_cache_holds(trained: Peers) -> None:
    word = "zqxjkvzqxjkv"
    assert len(trained.ours.encode(word)) > CACHED_IDS
    trained.assert_equal(f"{word} {word} {word}")


@pytest.mark.parametrize("run", ["a", " ", "é"])
def test_a_word_of_a_million_bytes(trained: Peers, run: str) -> None:
    """A quadratic algorithm would need hours, a recursive one a stack of a million frames."""
    text = run * (1_000_000 // len(run.encode()))
    assert trained.ours.encode(text) == trained.tokenizers(text)


def test_texts_end_anywhere(trained: Peers) -> None:
    """Whole vectors are read at the end of a text; what lies behind it must not matter."""
    text = SENTENCES[3] + "I'll 's '"
    for end in range(len(text)):
        assert trained.ours.encode(text[:end]) == trained.twin(text[:end])


def test_bytes_without_a_token_are_left_out() -> None:
    vocabulary = build_vocabulary({"a": 0, "b": 1, "ab": 2, "Ġ": 3}, [("a", "b")], [], "merges")
    fast, twin = FastEncoder(vocabulary), BytePairEncoder(vocabulary)
    for text in ("axb", "é", "a b", "xyz", "", "ab" * 100, "é" * 100):
        assert fast.encode(text) == twin.encode(text)


def test_several_threads_share_one_encoder(trained: Peers) -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choices(PIECES, k=400)) for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(trained.ours.encode, texts * 4)) == [trained.twin(text) for text in texts] * 4


@pytest.mark.parametrize("text", ["", "a", "I'll see 12 fées\u2028 \n!", "abcab" * 12])
def test_reference_mode(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The kernels as Python, with their bounds checked."""
    vocabulary = random_vocabulary(1)
    expected = BytePairEncoder(vocabulary).encode(text)
    monkeypatch.setenv("GLASSFORMER_KERNELS", "reference")
    assert FastEncoder(vocabulary).encode(text) == expected


@pytest.mark.parametrize("target", runnable_targets())
def test_every_processor_level(monkeypatch: pytest.MonkeyPatch, trained: Peers, target: str) -> None:
    """Vectors of the kernels are split for narrower machines; the ids are the same."""
    monkeypatch.setenv("GLASSFORMER_TARGET", target)
    fast = FastEncoder(trained.ours.vocabulary)
    rng = random.Random(7)
    for text in ("", "\n".join(SENTENCES), "".join(rng.choices(PIECES, k=2_000)), "x" * 5_000):
        assert fast.encode(text) == trained.twin(text)
