"""Streaming: whole characters only, and the same text as decoding at once."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_peers import Peers, texts

from glassformer.tokenizer.errors import TokenizerError
from glassformer.tokenizer.stream import Detokenizer


def by_byte() -> Detokenizer:
    """Ids are bytes."""
    return Detokenizer(lambda number: bytes([number]))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(data=st.one_of(st.binary(max_size=40), texts.map(str.encode)))
def test_any_bytes_give_the_text_of_decoding_at_once(data: bytes) -> None:
    stream = by_byte()
    pieces = [stream.push(byte) for byte in data]
    assert "".join(pieces) + stream.flush() == data.decode("utf8", errors="replace")


def test_a_character_comes_whole_with_its_last_byte() -> None:
    stream = by_byte()
    assert [stream.push(byte) for byte in "é😀".encode()] == ["", "é", "", "", "", "😀"]
    assert stream.flush() == ""


def test_a_wrong_byte_is_replaced_as_soon_as_it_is_known() -> None:
    stream = by_byte()
    assert [stream.push(byte) for byte in b"\xe2\x82a\xff\xc3"] == ["", "", "\ufffda", "\ufffd", ""]
    assert stream.flush() == "\ufffd"
    assert stream.push(0x62) + stream.flush() == "b"


def test_random_ids_of_a_real_vocabulary(peers: Peers) -> None:
    rng = random.Random(3)
    ids = [rng.randrange(peers.ours.vocab_size) for _ in range(2_000)]
    stream = peers.ours.stream()
    text = "".join(stream.push(number) for number in ids) + stream.flush()
    assert text == peers.ours.decode(ids)


def test_an_unknown_id_is_refused_and_the_stream_lives(trained: Peers) -> None:
    stream = trained.ours.stream()
    with pytest.raises(TokenizerError, match=r"99999 .*0 to \d+"):
        stream.push(99_999)
    assert "".join(stream.push(number) for number in trained.ours.encode("still here")) == "still here"
