"""Text to token ids in one call: cut a word, look it up among the words met before, else merge its bytes.

The cache of words is a table of entries of eight u64: the word's bytes, zero-padded to 32; its length in the lower
half and the number of its ids in the upper half of the fifth; then up to six ids of 32 bits. A word has two places
where it may stand: a new one takes the first and sends the word that was there to the second.
"""

from glassformer.kernels.tokenizer_merge import LOW, SHORT, merge_long, merge_short
from glassformer.kernels.tokenizer_words import word_end
from glassformer.simd import (
    Pointer,
    bitcast,
    bool1,
    cast,
    i32,
    i32x2,
    i32x4,
    i64,
    kernel,
    load,
    store,
    u8,
    u8x8,
    u64,
    u64x8,
)  # fmt: skip

CACHED_BYTES = 32
CACHED_IDS = 6
ENTRY = 8  # u64 of an entry
# Odd numbers of mixed bits, one for each eight bytes of a word: multiply-shift hashing (Dietzfelbinger et al. 1997).
M0, M1, M2, M3 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F


@kernel
def eight_bytes(data: Pointer[u8]) -> u64:
    """Eight bytes from any address as one integer."""
    return bitcast(load(data, u8x8), u64)


@kernel
def holds(entry: Pointer[u64], k0: u64, k1: u64, k2: u64, k3: u64, length: u64) -> bool1:
    """Whether an entry is that of a word."""
    differ = (entry[0] ^ k0) | (entry[1] ^ k1) | (entry[2] ^ k2) | (entry[3] ^ k3)
    return (differ | ((entry[4] & LOW) ^ length)) == 0


@kernel
def remember(
    first: Pointer[u64], second: Pointer[u64], k0: u64, k1: u64, k2: u64, k3: u64, length: i64,
    ids: Pointer[i32], count: i64,
) -> None:  # fmt: skip
    """Write a word and its ids to its first place, and what was there to the second."""
    store(second, load(first, u64x8))
    first[0] = k0
    first[1] = k1
    first[2] = k2
    first[3] = k3
    first[4] = u64(length) | (u64(count) << 32)
    copy_ids(ids, cast(first + 5, i32))


@kernel
def copy_ids(source: Pointer[i32], target: Pointer[i32]) -> None:
    """CACHED_IDS ids, used or not: a copy of fixed size needs no loop."""
    store(target, load(source, i32x4))
    store(target + 4, load(source + 4, i32x2))


@kernel
def encode_word(
    word: Pointer[u8], length: i64, byte_ids: Pointer[i32], pairs: Pointer[u64], pair_mask: i64,
    scratch: Pointer[u64], ids: Pointer[i32],
) -> i64:  # fmt: skip
    """Ids of one word by merging its bytes; how many. Bytes without a token are left out. scratch: [4 * length]."""
    count = 0
    for i in range(length):
        symbol = byte_ids[i64(word[i])]
        if symbol >= 0:
            ids[count] = symbol
            count += 1
    if count <= SHORT:
        return merge_short(ids, count, pairs, pair_mask, scratch)
    links = cast(scratch + 3 * length, i32)
    return merge_long(ids, count, pairs, pair_mask, scratch, scratch + length, links, links + length)


@kernel
def encode_text(
    text: Pointer[u8], size: i64, classes: Pointer[u8], byte_ids: Pointer[i32], pairs: Pointer[u64], pair_mask: i64,
    cache: Pointer[u64], cache_mask: i64, masks: Pointer[u64], scratch: Pointer[u64], capacity: i64,
    ids: Pointer[i32], progress: Pointer[i64],
) -> i64:  # fmt: skip
    """Ids of a text from `progress[0]` on, written from `ids[progress[1]]` on; both are moved along.

    Returns 0 at the end of the text, else the length of a word that is longer than `capacity`; call again with more.
    text: [size + 32], valid UTF-8, then zeros. ids: [size + 6]. scratch: [4 * capacity].
    pairs: [pair_mask + 1, 2]. cache: [cache_mask + 1, 8], zeros before the first text. masks: [34, 4], row n with ones
    over the first n bytes.
    """
    position = progress[0]
    count = progress[1]
    needed = 0
    while position < size:
        word = text + position
        length = word_end(text, position, size, classes) - position
        if length > capacity:
            needed = length
            break
        covered = masks + 4 * min(length, CACHED_BYTES + 1)
        k0 = eight_bytes(word) & covered[0]
        k1 = eight_bytes(word + 8) & covered[1]
        k2 = eight_bytes(word + 16) & covered[2]
        k3 = eight_bytes(word + 24) & covered[3]
        mixed = (k0 * u64(M0)) ^ (k1 * u64(M1)) ^ (k2 * u64(M2)) ^ (k3 * u64(M3))
        slot = i64(mixed >> 40) & cache_mask
        first = cache + ENTRY * slot
        second = cache + ENTRY * (slot ^ 1)
        entry = first
        known = holds(first, k0, k1, k2, k3, u64(length))
        if not known:
            entry = second
            known = holds(second, k0, k1, k2, k3, u64(length))
        if known:
            copy_ids(cast(entry + 5, i32), ids + count)
            count += i64(entry[4] >> 32)
        else:
            made = encode_word(word, length, byte_ids, pairs, pair_mask, scratch, ids + count)
            if length <= CACHED_BYTES and made <= CACHED_IDS:
                remember(first, second, k0, k1, k2, k3, length, ids + count, made)
            count += made
        position += length
    progress[0] = position
    progress[1] = count
    return needed
