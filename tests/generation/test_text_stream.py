"""Streaming: the same text as generate, in pieces of whole characters."""

from collections.abc import Callable

import pytest

from glassformer.generation.model import TextModel
from glassformer.generation.text import PaddedDetokenizer, TextPieces
from glassformer.tokenizer.errors import TokenizerError
from glassformer.tokenizer.stream import Detokenizer


def test_pieces_join_to_the_text_of_generate(model: TextModel) -> None:
    for stop in (None, ["e", "zz"]):
        for seed in range(10):
            stream = model.stream("ab", temperature=2.0, seed=seed, max_new_tokens=40, stop=stop)
            pieces = list(stream)
            found = model.generate("ab", temperature=2.0, seed=seed, max_new_tokens=40, stop=stop)
            assert "".join(pieces) == found.text
            assert all(pieces)
            assert stream.result == found
            assert stream.seed == seed


def test_pieces_come_as_they_are_made(scripted: Callable[..., TextModel]) -> None:
    model = scripted("hello")
    stream = model.stream("a")
    assert next(stream) == "h"
    assert model.network.calls == [1]  # type: ignore[attr-defined]
    assert next(stream) == "e"
    assert model.network.calls == [1, 1]  # type: ignore[attr-defined]


def test_steps_carry_ids_and_logprobs(scripted: Callable[..., TextModel]) -> None:
    model = scripted("hey")
    stream = model.stream("a", logprobs=2)
    found = list(stream.steps())
    assert [step.text for step in found] == ["h", "e", "y", ""]
    assert [step.finish_reason for step in found] == [None, None, None, "stop"]
    assert [step.token.id for step in found] == stream.result.ids
    assert list(stream) == []


BYTES = {0: b"caf", 1: b"\xc3", 2: b"\xa9", 3: b"\xf0\x9f", 4: b"\x98", 5: b"\x80", 6: b"!", 7: b"\xff", 8: b"\xa9!",
         9: b" \xe2\x80"}  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "stop", "shown", "rest"),
    [
        ([0, 1, 2, 6], (), ["caf", "", "é", "!"], ""),
        ([3, 4, 5], (), ["", "", "😀"], ""),
        ([3, 4], (), ["", ""], "\ufffd"),
        ([0, 7, 6], (), ["caf", "\ufffd", "!"], ""),
        ([0, 1, 8], ("é!",), ["caf", "", ""], ""),
        ([0, 1, 2, 6], ("é?",), ["caf", "", "", "é!"], ""),
        ([0, 1, 2], ("é?",), ["caf", "", ""], "é"),
        ([0, 3], ("\ufffd",), ["caf", ""], ""),
        ([0, 99, 6], (), ["caf", "", "!"], ""),
        ([0, 9], (" ",), ["caf", ""], ""),
    ],
)
def test_characters_over_several_tokens(tokens: list[int], stop: tuple[str, ...], shown: list[str], rest: str) -> None:
    pieces = TextPieces(PaddedDetokenizer(Detokenizer(token_bytes)), stop)
    assert [pieces.push(token)[0] for token in tokens] == shown
    assert pieces.flush()[0] == rest


def token_bytes(token: int) -> bytes:
    if token not in BYTES:
        raise TokenizerError(f"token id {token} is not in the vocabulary")
    return BYTES[token]


def test_a_stop_string_completed_by_the_flush_is_met() -> None:
    pieces = TextPieces(Detokenizer(token_bytes), ["\ufffd"])
    assert pieces.push(3) == ("", False)
    assert pieces.flush() == ("", True)
