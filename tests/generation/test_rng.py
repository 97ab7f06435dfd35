"""The generator's published known answers, and how uniform its numbers are."""

import statistics

import pytest

from glassformer.generation.rng import MAX_SEED, Counter, Key, fresh_seed, philox4x32, uniform


# The known-answer vectors of Random123 for Philox4x32-10 (Salmon et al. 2011).
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter: Counter, key: Key, answer: Counter) -> None:
    assert philox4x32(counter, key) == answer


def test_uniform_takes_53_bits_of_the_first_two_words() -> None:
    word0, word1 = 0x6627E8D5, 0xE169C58D
    assert uniform(0, 0) == ((word0 >> 5) * 2**26 + (word1 >> 6)) * 2.0**-53


def test_uniform_uses_every_bit_of_seed_and_index() -> None:
    numbers = {uniform(1 << bit, 0) for bit in range(64)} | {uniform(0, 1 << bit) for bit in range(64)}
    assert len(numbers) == 128
    assert uniform(MAX_SEED, 2**64 - 1) != uniform(MAX_SEED, 2**64 - 2)


def test_numbers_are_uniform_in_the_unit_interval() -> None:
    numbers = [uniform(7, index) for index in range(20_000)]
    assert min(numbers) >= 0.0
    assert max(numbers) < 1.0
    assert statistics.fmean(numbers) == pytest.approx(0.5, abs=0.01)
    counts = [0] * 20
    for number in numbers:
        counts[int(number * 20)] += 1
    chi_squared = sum((count - 1000) ** 2 / 1000 for count in counts)
    assert chi_squared < 43.8  # 19 degrees of freedom: exceeded once in a thousand

    lagged = statistics.correlation(numbers[:-1], numbers[1:])
    assert abs(lagged) < 0.03


def test_fresh_seeds_are_valid_and_differ() -> None:
    seeds = {fresh_seed() for _ in range(8)}
    assert len(seeds) > 1
    assert all(0 <= seed <= MAX_SEED for seed in seeds)
