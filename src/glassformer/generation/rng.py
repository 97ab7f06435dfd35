"""Random numbers that are the same on every machine: Philox4x32-10, a counter-based generator.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11,
https://doi.org/10.1145/2063384.2063405. The generator is a keyed bijection of a 128-bit counter in ten rounds
of integer multiplication. It has no state to carry along: the number for token 17 depends on the seed and on 17
alone, however the tokens before it were computed.
"""

import secrets

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL_INCREMENTS = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, as in the paper
ROUNDS = 10
MAX_SEED = 2**64 - 1

Counter = tuple[int, int, int, int]
Key = tuple[int, int]


def philox4x32(counter: Counter, key: Key) -> Counter:
    """The ten-round bijection: a counter of four 32-bit words, under a key of two, to four random 32-bit words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (product1 >> 32) ^ c1 ^ k0, product1 & WORD, (product0 >> 32) ^ c3 ^ k1, product0 & WORD
        k0, k1 = (k0 + WEYL_INCREMENTS[0]) & WORD, (k1 + WEYL_INCREMENTS[1]) & WORD
    return c0, c1, c2, c3


def uniform(seed: int, index: int) -> float:
    """The `index`-th number of the stream that `seed` names: a double in [0, 1), a multiple of 2**-53.

    Args:
        seed: 0 to 2**64 - 1; its low word is the first word of the key.
        index: 0 to 2**64 - 1; its low word is the first word of the counter.
    """
    w0, w1, _, _ = philox4x32((index & WORD, index >> 32, 0, 0), (seed & WORD, seed >> 32))
    return ((w0 >> 5) * 2**26 + (w1 >> 6)) / 2**53


def fresh_seed() -> int:
    """A seed from the operating system's entropy, of 32 bits so that it is short enough to be typed again."""
    return secrets.randbits(32)
