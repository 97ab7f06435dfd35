"""A tiny language model of integer arithmetic and a vocabulary of single characters: generation without weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.generation.model import TextModel
from glassformer.models.config import GenerationConfig, GPT2Config
from glassformer.tokenizer.errors import TokenizerError
from glassformer.tokenizer.tokenizer import Tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz .é€😀"
END = len(LETTERS)  # the end-of-text id, which has no text


@dataclass
class TableCache:
    capacity: int
    ids: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.ids)

    def truncate(self, length: int) -> None:
        assert 0 <= length <= len(self.ids)
        del self.ids[length:]


class TableNetwork:
    """Logits are a fixed function of the last two tokens; `calls` notes how many tokens were read at a time."""

    def __init__(self, n_positions: int = 64, eos: int | None = END, vocab_size: int = END + 1) -> None:
        self.config = GPT2Config(
            vocab_size=vocab_size, n_positions=n_positions, n_embd=4, n_head=1, n_layer=1,
            bos_token_id=eos, eos_token_id=eos,
        )  # fmt: skip
        self.calls: list[int] = []
        self.batches: list[int] = []
        self.caches: list[TableCache] = []

    def new_cache(self, capacity: int) -> TableCache:
        self.caches.append(TableCache(capacity))
        return self.caches[-1]

    def new_caches(self, capacities: Sequence[int]) -> list[TableCache]:
        return [self.new_cache(capacity) for capacity in capacities]

    def row(self, ids: list[int]) -> npt.NDArray[np.float32]:
        seed = (ids[-1] * 7919 + (ids[-2] if len(ids) > 1 else 0) * 104729 + len(ids)) & 0xFFFF
        mixed = (np.arange(self.config.vocab_size, dtype=np.int64) * 40503 + seed * 2654435761) % 65537
        return (mixed % 997 / np.float32(128)).astype(np.float32)

    def forward(
        self, ids: npt.NDArray[np.int32], cache: TableCache, *, last_only: bool = True
    ) -> npt.NDArray[np.float32]:
        assert ids.dtype == np.int32
        assert cache.length + len(ids) <= cache.capacity, "the cache is too small for what is asked"
        self.calls.append(len(ids))
        rows = []
        for token in ids.tolist():
            cache.ids.append(token)
            rows.append(self.row(cache.ids))
        return np.stack(rows[-1:] if last_only else rows)

    def forward_batch(
        self, parts: Sequence[tuple[npt.NDArray[np.int32], TableCache]], *, last_only: bool = True
    ) -> npt.NDArray[np.float32]:
        assert len({id(cache) for _, cache in parts}) == len(parts)
        self.batches.append(len(parts))
        return np.concatenate([self.forward(ids, cache, last_only=last_only) for ids, cache in parts])


class ScriptNetwork(TableNetwork):
    """Wants the given tokens, whatever it has read; `script[i]` is the most probable token after i + 1 tokens."""

    def __init__(self, script: list[int], n_positions: int = 64) -> None:
        super().__init__(n_positions)
        self.script = script

    def row(self, ids: list[int]) -> npt.NDArray[np.float32]:
        logits = np.zeros(self.config.vocab_size, dtype=np.float32)
        logits[self.script[min(len(ids), len(self.script)) - 1]] = 9.0
        return logits


class Letters:
    """A token per character. Ids above END have no text, like the padding of an embedding table."""

    vocab_size = END + 1

    def encode(self, text: str) -> list[int]:
        return [LETTERS.index(letter) for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(LETTERS[token] for token in ids)

    def stream(self) -> "Letters":
        return self

    def push(self, token: int) -> str:
        if token > END:
            raise TokenizerError("no such token")
        return "" if token == END else LETTERS[token]

    def flush(self) -> str:
        return ""


def make_model(network: TableNetwork, **recommended: object) -> TextModel:
    """The network with the letters as its vocabulary."""
    return TextModel(network, cast(Tokenizer, Letters()), GenerationConfig.from_dict(recommended))


@pytest.fixture
def table_network() -> type[TableNetwork]:
    return TableNetwork


@pytest.fixture
def model() -> TextModel:
    return make_model(TableNetwork())


@pytest.fixture
def model_of() -> Callable[..., TextModel]:
    """Makes a model of any network, with recommended options."""
    return make_model


@pytest.fixture
def scripted() -> Callable[..., TextModel]:
    """Makes a model that answers the one-letter prompt "a" with the given text, letter for letter."""

    def make(text: str, end: bool = True, n_positions: int = 64) -> TextModel:
        return make_model(ScriptNetwork(Letters().encode(text) + ([END] if end else []), n_positions))

    return make
