"""Checkpoints trained by others, where a folder `shared` beside the repository holds them."""

from pathlib import Path

import pytest

import glassformer
from glassformer.generation.errors import ContextError, NoTokenizerError
from glassformer.generation.model import TextModel

MODELS = Path(__file__).parents[3] / "shared" / "data" / "models"
SAMPLE = range(0, 10_000, 37)  # of all pairs of two-digit numbers


def checkpoint(name: str) -> TextModel:
    if not (MODELS / name).is_dir():
        pytest.skip(f"no {MODELS / name}")
    return glassformer.load(MODELS / name)


def digits(first: int, second: int) -> list[int]:
    return [int(digit) for digit in f"{first:02}{second:02}"]


def test_the_adder_adds() -> None:
    adder = checkpoint("gpt2-adder")
    for first, second in (divmod(number, 100) for number in SAMPLE):
        found = adder.generate(digits(first, second), max_new_tokens=3)
        assert found.ids[::-1] == [int(digit) for digit in f"{first + second:03}"], (first, second)


@pytest.mark.slow
def test_the_adder_adds_every_pair() -> None:
    adder = checkpoint("gpt2-adder")
    wrong = 0
    for first, second in (divmod(number, 100) for number in range(10_000)):
        found = adder.generate(digits(first, second), max_new_tokens=3)
        wrong += found.ids[::-1] != [int(digit) for digit in f"{first + second:03}"]
    assert wrong == 0


def test_the_adder_reaches_the_end_of_its_window() -> None:
    adder = checkpoint("gpt2-adder")
    found = adder.generate(digits(12, 34), max_new_tokens=99)
    assert (found.ids, found.finish_reason) == ([6, 4, 0], "length")
    with pytest.raises(ContextError, match=r"7 tokens .* holds 6"):
        adder.generate([1] * 7)


def test_without_a_vocabulary_there_is_no_text() -> None:
    adder = checkpoint("gpt2-adder")
    assert adder.tokenizer is None
    with pytest.raises(NoTokenizerError, match="no vocabulary"):
        adder.generate("1234")


def test_a_description_of_a_part_ends_by_itself() -> None:
    capp = checkpoint("gpt2-capp")  # its config names a begin-of-text id outside the vocabulary
    found = capp.generate([1, 9, 14], max_new_tokens=100)
    assert found.finish_reason == "stop"
    assert found.ids[-1] == 51
    assert len(found.ids) < 60
