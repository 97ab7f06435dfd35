"""A network of integer arithmetic whose tokens are bytes and pieces that cross the parts of a text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from glassformer.generation.constraints.trie import Trie, trie_of
from glassformer.generation.model import TextModel
from glassformer.models.config import GenerationConfig
from glassformer.tokenizer.stream import Detokenizer
from glassformer.tokenizer.tokenizer import Tokenizer

PIECES = (
    '{"', '":', '": ', '", "', '"}', '"}, {"', "}]", "}}", "]}", "[[", "[{", "[]", "{}", ", ", ": ", "true", "tr",
    "alse", "null", "nu", "12", "0.5", "e+1", "-1", "abc", "abab", "a b", "yes", "no", "é", "😀", "€uro", '\\"', "\\n",
    '"name"', '"name": "', "20", "-0", "2-", ":3", '"a', '"b": [', "1, 2", "1,2,3", '"x","y"', "  ", "\n\n", "]]]",
    "}}}", "\\u00",
)  # fmt: skip


@dataclass(frozen=True)
class Pieces:
    """What the tables of a tokenizer show."""

    tokens: dict[int, bytes]


@dataclass
class PieceTokenizer:
    """Every byte of an alphabet is a token, and so is every piece, and the end of text, which is special."""

    alphabet: bytes = bytes(range(256))
    vocabulary: Pieces = field(init=False)
    special_tokens: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        texts = [bytes([byte]) for byte in self.alphabet] + [piece.encode() for piece in PIECES]
        texts += [b"\xc3", b"\x98\x80", b"<|end|>"]  # twice the same bytes, half a character, the end
        self.vocabulary = Pieces(dict(enumerate(texts)))
        self.special_tokens = {"<|end|>": len(texts) - 1}

    @property
    def end(self) -> int:
        return self.special_tokens["<|end|>"]

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def stream(self) -> Detokenizer:
        return Detokenizer(self.vocabulary.tokens.__getitem__)


MakeModel = Callable[..., TextModel]


@pytest.fixture
def pieces() -> PieceTokenizer:
    return PieceTokenizer()


@pytest.fixture
def trie(pieces: PieceTokenizer) -> Trie:
    return trie_of(pieces.vocabulary.tokens, {pieces.end}, pieces.end + 1)


@pytest.fixture
def piece_model(table_network: Any) -> MakeModel:
    """Makes a model over an alphabet; its vocabulary has two ids more than the tokenizer."""

    def make(n_positions: int = 400, alphabet: bytes = bytes(range(256)), eos: bool = True) -> TextModel:
        tokenizer = PieceTokenizer(alphabet)
        end = tokenizer.end if eos else None
        network = table_network(n_positions, end, tokenizer.end + 3)
        return TextModel(network, cast(Tokenizer, tokenizer), GenerationConfig.from_dict({}))

    return make
