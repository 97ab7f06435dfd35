r"""Cutting UTF-8 text into words, by GPT-2's pattern.

`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: one contraction, or a run of characters of
one class, with one space before it taken along; of white space before a word the last character is left to that word.
"""

from glassformer.simd import Pointer, count_trailing_zeros, i64, kernel, load, mask32, mask_bits, u8, u8x32, u64

BLOCK = 32  # bytes looked at together
LETTER, NUMBER, SPACE = 1, 2, 3  # classes of code points; 0 is any other
TAB, BLANK, APOSTROPHE, ZERO = map(ord, "\t '0")
CASE = 0x20  # the bit that makes an ASCII letter lower-case
A, D, E, L, M, R, S, T, V = map(ord, "adelmrstv")


@kernel
def character(text: Pointer[u8], classes: Pointer[u8]) -> i64:
    """Class of the character at `text` in the two lowest bits, its length in bytes above them. text: valid UTF-8."""
    first = i64(text[0])
    if first < 0x80:
        return i64(classes[first]) + 4
    second = i64(text[1]) & 0x3F
    if first < 0xE0:
        return i64(classes[((first & 0x1F) << 6) | second]) + 8
    third = i64(text[2]) & 0x3F
    if first < 0xF0:
        return i64(classes[((first & 0x0F) << 12) | (second << 6) | third]) + 12
    fourth = i64(text[3]) & 0x3F
    return i64(classes[((first & 0x07) << 18) | (second << 12) | (third << 6) | fourth]) + 16


@kernel
def ascii_run(text: Pointer[u8], wanted: i64) -> i64:
    """How many of the next BLOCK bytes, up to the first that is none, are ASCII characters of one class."""
    block = load(text, u8x32)
    letter = ((block | CASE) - A) < 26  # bytes wrap, so one comparison tests both ends
    if wanted == LETTER:
        return run_length(letter)
    number = (block - ZERO) < 10
    if wanted == NUMBER:
        return run_length(number)
    space = (block == BLANK) | ((block - TAB) < 5)
    if wanted == SPACE:
        return run_length(space)
    return run_length(~(letter | number | space) & (block < 0x80))


@kernel
def run_length(members: mask32) -> i64:
    """How many of the first lanes are true."""
    return i64(count_trailing_zeros(~u64(mask_bits(members))))


@kernel
def run_end(text: Pointer[u8], position: i64, size: i64, classes: Pointer[u8], wanted: i64) -> i64:
    """Where the run of characters of one class ends that goes on at `position`. The text is padded by BLOCK bytes."""
    while position < size:
        length = ascii_run(text + position, wanted)
        position += length
        if length < BLOCK and text[position] < 0x80:
            break
        while text[position] >= 0x80:
            here = character(text + position, classes)
            if (here & 3) != wanted:
                return position
            position += here >> 2
    return min(position, size)


@kernel
def contraction(text: Pointer[u8], position: i64, size: i64) -> i64:
    """Length of the contraction ('s 't 're 've 'm 'll 'd) whose apostrophe stands at `position`, or 0."""
    if position + 1 >= size:
        return 0
    first = i64(text[position + 1])
    if first == S or first == T or first == M or first == D:  # noqa: SIM109  # kernels have no `in` for values
        return 2
    if position + 2 >= size:
        return 0
    second = i64(text[position + 2])
    if second == (L if first == L else E) and (first == L or first == V or first == R):  # noqa: SIM109
        return 3
    return 0


@kernel
def space_end(text: Pointer[u8], position: i64, size: i64, classes: Pointer[u8]) -> i64:
    """Where the word of white space at `position` ends: before the last of several if a word follows."""
    last = position
    following = position
    while following < size:
        here = character(text + following, classes)
        if (here & 3) != SPACE:
            return following if last == position else last
        last = following
        following += here >> 2
    return following


@kernel
def word_end(text: Pointer[u8], position: i64, size: i64, classes: Pointer[u8]) -> i64:
    """Where the word that begins at `position` ends. classes: [0x110000], a class for each code point."""
    here = character(text + position, classes)
    following = position + (here >> 2)
    first = i64(text[position])
    if first == APOSTROPHE:
        length = contraction(text, position, size)
        if length > 0:
            return position + length
    if first == BLANK and following < size:
        here = character(text + following, classes)
        if (here & 3) == SPACE:
            return space_end(text, position, size, classes)
        following += here >> 2
    elif (here & 3) == SPACE:
        return space_end(text, position, size, classes)
    return run_end(text, following, size, classes, here & 3)
