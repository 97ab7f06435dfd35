"""The tables of a byte-level BPE tokenizer, read from `vocab.json` and `merges.txt` (or from `tokenizer.json`).

`vocab.json` maps tokens, spelled in GPT-2's byte alphabet, to ids. Each line of `merges.txt` after an optional
`#version` header is a pair of tokens, separated by one space; the line's place is the pair's rank, and the two
joined are a token too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import add
from pathlib import Path

from glassformer.tokenizer.added_tokens import AddedToken
from glassformer.tokenizer.byte_alphabet import ALPHABET, unspell
from glassformer.tokenizer.errors import TokenizerError
from glassformer.tokenizer.json_file import read_json_object, read_text

MISSING = -1  # in `byte_ids`: no token stands for this byte alone
ID_LIMIT = 2**31 - 1  # ids are 32-bit integers in the compiled path


@dataclass(frozen=True)
class Vocabulary:
    """What encoding and decoding need; checked, and never changed after."""

    ids: Mapping[str, int]  # token as spelled in the file -> id
    merge_ids: tuple[list[int], list[int], list[int]]  # left, right and joined ids; the place is the rank
    byte_ids: tuple[int, ...]  # [256] byte -> id of its token, or MISSING
    added: Mapping[str, AddedToken]  # special and other added tokens, by their text

    @cached_property
    def merges(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Pair of ids -> (rank, id of the two joined).

        A pair that is listed twice has the later rank, as both reference implementations read it.
        """
        left, right, joined = self.merge_ids
        return dict(zip(zip(left, right, strict=True), enumerate(joined), strict=True))

    @cached_property
    def tokens(self) -> dict[int, bytes]:
        """Id -> the bytes that it stands for. Ids may have gaps."""
        found = {number: unspell(token) for token, number in self.ids.items()}
        found.update((token.id, token.text.encode("utf8")) for token in self.added.values())
        return found

    @cached_property
    def size(self) -> int:
        """The highest id plus one: how many logits can name a token."""
        return max(self.tokens) + 1


def read_vocab(path: Path) -> dict[str, int]:
    """Tokens and ids of a `vocab.json`. `TokenizerError` if it is not one."""
    return check_ids(read_json_object(path), str(path))


def check_ids(table: Mapping[str, object], source: str) -> dict[str, int]:
    """The same table, once every token is encodable text and every id a whole number of its own."""
    if not table:
        raise TokenizerError(f"{source}: holds no tokens")
    ids = {token: number for token, number in table.items() if type(number) is int and 0 <= number < ID_LIMIT}
    if len(set(ids.values())) < len(table) or not _is_text(" ".join(ids)):
        raise TokenizerError(f"{source}: {_first_fault(table)}")
    return ids


def _is_text(token: str) -> bool:
    """Whether a string can be encoded: JSON's escapes can make half of a surrogate pair."""
    try:
        token.encode("utf8")
    except UnicodeEncodeError:
        return False
    return True


def _first_fault(table: Mapping[str, object]) -> str:
    """What is wrong with a table of ids, at the first token where something is."""
    owners: dict[int, str] = {}
    for token, number in table.items():
        if type(number) is not int or not 0 <= number < ID_LIMIT:
            return f"token {token!r:.80} has the id {number!r:.80}; expected 0 to {ID_LIMIT - 1}"
        if number in owners:
            return f"tokens {owners[number]!r:.80} and {token!r:.80} share the id {number}"
        if not _is_text(token):
            return f"token {token!r:.80} holds half of a surrogate pair, which is no text"
        owners[number] = token
    return "its tokens and ids do not fit together"


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Pairs of a `merges.txt` in order of rank. Windows line ends and blank lines are allowed."""
    pairs: list[tuple[str, str]] = []
    # Not `splitlines`: only the newline ends a line here.
    for number, line in enumerate(read_text(path).replace("\r\n", "\n").split("\n"), start=1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise TokenizerError(f"{path}: line {number}: expected two tokens and a space between, found {line!r:.80}")
        pairs.append((left, right))
    return pairs


def build_vocabulary(
    ids: Mapping[str, int], pairs: Sequence[tuple[str, str]], added: Iterable[AddedToken], source: str
) -> Vocabulary:
    """Tables from what the files hold. `source` names the file of the merges in errors."""
    added = list(added)
    if not pairs and (joined := _joined(ids, {token.text for token in added})):
        raise TokenizerError(
            f"{source}: no merges, but the vocabulary has joined tokens such as {joined!r:.60}; is it cut?"
        )
    left, right = [first for first, _ in pairs], [second for _, second in pairs]
    try:
        columns = [[ids[token] for token in tokens] for tokens in (left, right, map(add, left, right))]
    except KeyError:
        raise TokenizerError(f"{source}: {_first_unknown(ids, pairs)}") from None
    return Vocabulary(
        ids=ids,
        merge_ids=(columns[0], columns[1], columns[2]),
        byte_ids=tuple(ids.get(symbol, MISSING) for symbol in ALPHABET),
        added={token.text: token for token in added},
    )


def _joined(ids: Mapping[str, int], special: Collection[str]) -> str:
    """A token that only merges can make: more than one symbol, all of the byte alphabet."""
    symbols = set(ALPHABET)
    return next((t for t in ids if len(t) > 1 and t not in special and symbols.issuperset(t) and t[0] != "<"), "")


def _first_unknown(ids: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> str:
    """Which merge needs a token that is not there."""
    for rank, (left, right) in enumerate(pairs):
        for token in (left, right, left + right):
            if token not in ids:
                return f"merge {rank}, {left!r:.60} + {right!r:.60}: the vocabulary has no token {token!r:.80}"
    return "a merge needs a token that the vocabulary lacks"
