"""The same ids as `tiktoken` and `tokenizers`, on vocabularies trained on the spot and on GPT-2's own."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from tokenizer_peers import SENTENCES, Peers, shared, texts

SAMPLES = ["blns.txt", "utf8tests.txt", "war-and-peace.txt", "tinyshakespeare.txt", "tinystories-2mb.txt"]


@pytest.mark.parametrize("text", ["", " ", "a", "\n", "  \n  a", "'", "''s's", *SENTENCES])
def test_short_texts(peers: Peers, text: str) -> None:
    peers.assert_equal(text)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(text=texts)
def test_generated_text(trained: Peers, text: str) -> None:
    trained.assert_equal(text)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(text=texts)
def test_generated_text_with_gpt2s_vocabulary(gpt2: Peers, text: str) -> None:
    gpt2.assert_equal(text)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(text=texts)
def test_offsets(trained: Peers, text: str) -> None:
    encoding = trained.ours.encode_with_offsets(text)
    assert encoding.ids == trained.ours.encode(text)
    assert encoding.offsets == trained.tokenizers_offsets(text)
    data = text.encode()
    assert [data[a:b] for a, b in encoding.byte_offsets] == [trained.ours.token_bytes(n) for n in encoding.ids]


def test_every_code_point_among_others(trained: Peers) -> None:
    """Each beside a letter, a digit and spaces, so that its class decides where words end."""
    for start in range(0, 0x110000, 0x2000):
        codes = [code for code in range(start, start + 0x2000) if not 0xD800 <= code < 0xE000]
        step = 1 if start < 0x20000 else 61
        text = "".join(f"a{chr(code)} {chr(code)}1 \n" for code in codes[::step])
        assert trained.ours.encode(text) == trained.tiktoken(text) == trained.tokenizers(text)


def test_any_bytes_as_latin_1_and_as_replaced_utf8(peers: Peers) -> None:
    noise = random.Random(5).randbytes(20_000)
    peers.assert_equal(noise.decode("latin-1"))
    peers.assert_equal(noise.decode("utf8", errors="replace"))


def test_long_runs(peers: Peers) -> None:
    for run in ("a", " ", "\n", "=", "7", "é", "ab", " a", "'s"):
        peers.assert_equal(run * 3_000)
        peers.assert_equal("x" + run * 999 + "y")


HALVES = ["a\ud800b", "\ud83d\ude00", "x\ude00\ud83d", "\udc00", "x \udfff\udfff y", "\ud800\ud800\udc00"]


@pytest.mark.parametrize("text", HALVES)
def test_lone_surrogates_as_tiktoken_reads_them(peers: Peers, text: str) -> None:
    assert peers.ours.encode(text) == peers.tiktoken(text)


@pytest.mark.parametrize("name", SAMPLES)
def test_real_texts(gpt2: Peers, name: str) -> None:
    gpt2.assert_equal(shared("text", name).read_text(encoding="utf8")[:60_000])


def test_invalid_utf8_with_replacement(gpt2: Peers) -> None:
    gpt2.assert_equal(shared("text", "utf8tests.bin").read_bytes().decode("utf8", errors="replace"))


def test_source_code(gpt2: Peers) -> None:
    gpt2.assert_equal("".join(path.read_text(encoding="utf8") for path in sorted(Path(__file__).parent.glob("*.py"))))
