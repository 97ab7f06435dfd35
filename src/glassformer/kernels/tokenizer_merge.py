"""Byte-pair merges over a table of pairs.

An *offer* is what joining a symbol with the one after it would give: the pair's rank in the upper 32 bits and the
joined id in the lower ones, so that the smallest offer is the next to take. NO_OFFER stands for a pair without a merge.
"""

from glassformer.simd import Pointer, i32, i64, kernel, u64

NO_OFFER = 2**64 - 1
LOW = 2**32 - 1  # mask of the lower half
MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: Fibonacci hashing (Knuth, vol. 3, 6.4)
SHORT = 48  # up to so many symbols, scanning all offers beats keeping a heap


@kernel
def pair_slot(key: u64, mask: i64) -> i64:
    """Where the search for a pair begins in a table of mask + 1 entries."""
    mixed = key * u64(MULTIPLIER)
    return i64(mixed >> 32) & mask


@kernel
def fill_pairs(keys: Pointer[u64], offers: Pointer[u64], count: i64, pairs: Pointer[u64], mask: i64) -> None:
    """Enter pairs into an empty table, a later one over an equal earlier one.

    keys: left id in the upper half, right id in the lower; offers: rank in the upper half, joined id in the lower.
    pairs: [mask + 1, 2] of key and offer, offers all NO_OFFER before; a power of two of entries, more than count.
    """
    for i in range(count):
        slot = pair_slot(keys[i], mask)
        while pairs[2 * slot + 1] != NO_OFFER and pairs[2 * slot] != keys[i]:
            slot = (slot + 1) & mask
        pairs[2 * slot] = keys[i]
        pairs[2 * slot + 1] = offers[i]


@kernel
def offer_of(left: i32, right: i32, pairs: Pointer[u64], mask: i64) -> u64:
    """The offer of two neighbours, or NO_OFFER."""
    key = (u64(left) << 32) | u64(right)
    slot = pair_slot(key, mask)
    while pairs[2 * slot] != key:
        if pairs[2 * slot + 1] == NO_OFFER:
            return NO_OFFER
        slot = (slot + 1) & mask
    return pairs[2 * slot + 1]


@kernel
def merge_short(symbols: Pointer[i32], count: i64, pairs: Pointer[u64], mask: i64, offers: Pointer[u64]) -> i64:
    """Join symbols in place, at each step looking at all offers; how many are left. offers: [count] of scratch."""
    for i in range(count - 1):
        offers[i] = offer_of(symbols[i], symbols[i + 1], pairs, mask)
    while count > 1:
        best = u64(NO_OFFER)
        place = 0
        for i in range(count - 1):
            if offers[i] < best:
                best = offers[i]
                place = i
        if best == NO_OFFER:
            break
        symbols[place] = i32(best & LOW)
        count -= 1
        for i in range(place + 1, count):
            symbols[i] = symbols[i + 1]
            offers[i - 1] = offers[i]
        if place + 1 < count:
            offers[place] = offer_of(symbols[place], symbols[place + 1], pairs, mask)
        if place > 0:
            offers[place - 1] = offer_of(symbols[place - 1], symbols[place], pairs, mask)
    return count


@kernel
def push(heap: Pointer[u64], size: i64, entry: u64) -> i64:
    """Put an entry on a heap whose smallest entry comes first; the new size."""
    place = size
    while place > 0 and heap[(place - 1) >> 1] > entry:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = entry
    return size + 1


@kernel
def drop_first(heap: Pointer[u64], size: i64) -> None:
    """Take the smallest entry off a heap that has `size` entries after that."""
    entry = heap[size]
    place = 0
    child = 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[place] = heap[child]
        place = child
        child = 2 * place + 1
    heap[place] = entry


@kernel
def renew(
    symbols: Pointer[i32], place: i64, following: i64, count: i64, pairs: Pointer[u64], mask: i64,
    offers: Pointer[u64], heap: Pointer[u64], size: i64,
) -> i64:  # fmt: skip
    """Make the offer of a symbol and the one after it anew and put it on the heap; the heap's size."""
    offers[place] = NO_OFFER
    if following < count:
        offers[place] = offer_of(symbols[place], symbols[following], pairs, mask)
        if offers[place] != NO_OFFER:
            size = push(heap, size, (offers[place] & (LOW << 32)) | u64(place))
    return size


@kernel
def merge_long(
    symbols: Pointer[i32], count: i64, pairs: Pointer[u64], mask: i64, offers: Pointer[u64], heap: Pointer[u64],
    before: Pointer[i32], after: Pointer[i32],
) -> i64:  # fmt: skip
    """Join symbols in place with a heap of offers over a linked list, n log n; how many are left.

    Scratch: offers [count], heap [2 * count], before and after [count]. An entry of the heap is a rank and a place; it
    is stale if the offer at that place has another rank by now.
    """
    size = 0
    for i in range(count):
        before[i] = i32(i - 1)
        after[i] = i32(i + 1)
        size = renew(symbols, i, i + 1, count, pairs, mask, offers, heap, size)
    while size > 0:
        top = heap[0]
        size -= 1
        drop_first(heap, size)
        place = i64(top & LOW)
        if (offers[place] >> 32) != (top >> 32):
            continue
        gone = i64(after[place])
        following = i64(after[gone])
        symbols[place] = i32(offers[place] & LOW)
        symbols[gone] = -1
        offers[gone] = NO_OFFER
        after[place] = i32(following)
        if following < count:
            before[following] = i32(place)
        size = renew(symbols, place, following, count, pairs, mask, offers, heap, size)
        previous = i64(before[place])
        if previous >= 0:
            size = renew(symbols, previous, place, count, pairs, mask, offers, heap, size)
    return compact(symbols, count)


@kernel
def compact(symbols: Pointer[i32], count: i64) -> i64:
    """Close the gaps that joined symbols left; how many there are."""
    kept = 0
    for i in range(count):
        if symbols[i] >= 0:
            symbols[kept] = symbols[i]
            kept += 1
    return kept
