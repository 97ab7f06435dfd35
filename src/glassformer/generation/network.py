"""What generation asks of a model: logits for the next token, and a cache that remembers the tokens before."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config
from glassformer.runtime.sampling import Sampler

Float32 = npt.NDArray[np.float32]
TokenIds = npt.NDArray[np.int32]
CacheT = TypeVar("CacheT", bound="Cache")


class Cache(Protocol):
    """Keys and values of the tokens that the network has read so far.

    prompt_length: how many of the tokens are the prompt, for networks that treat those in a way of their own;
    None until it is known: then it is as many as the first pass reads.
    """

    prompt_length: int | None

    @property
    def length(self) -> int:
        """Tokens held."""

    @property
    def capacity(self) -> int:
        """Tokens that fit."""

    def truncate(self, length: int) -> None:
        """Forget the tokens from a position on."""


class Network(Protocol[CacheT]):
    """A causal language model."""

    @property
    def config(self) -> GPT2Config:
        """Sizes and special ids of the model."""

    def new_cache(self, capacity: int) -> CacheT:
        """An empty cache for `capacity` tokens."""

    def new_caches(self, capacities: Sequence[int]) -> list[CacheT]:
        """Empty caches that can be read in one batch."""

    def forward(self, ids: TokenIds, cache: CacheT, *, last_only: bool = True) -> Float32:
        """Read ids [tokens] after what the cache holds; logits [1, vocab_size], or [tokens, vocab_size] for all."""

    def forward_batch(self, parts: Sequence[tuple[TokenIds, CacheT]], *, last_only: bool = True) -> Float32:
        """The same for new tokens of several sequences: logits [parts, vocab_size], or [all tokens, vocab_size].

        Each sequence's logits are the same bits as alone.
        """


class Decoder(Network[CacheT], Protocol[CacheT]):
    """A network that can choose tokens and read them without coming back to Python for each."""

    def sampler(self) -> Sampler:
        """What chooses its tokens, on its own threads."""

    def decode(self, token: int, cache: CacheT, sampler: Sampler, count: int) -> None:
        """Read a token, choose the next, read that, so many times; `sampler` was asked, and knows what was chosen."""


def decoder_of(network: Network[CacheT]) -> Decoder[CacheT] | None:
    """The network, if it is a decoder by its own class: one that wraps another may change what that one computes."""
    return cast(Decoder[CacheT], network) if hasattr(type(network), "decode") else None


def sampler_of(network: Network[Any]) -> Sampler:
    """What chooses tokens of the network, on its threads where it has some."""
    decoder = decoder_of(network)
    return Sampler(network.config.vocab_size) if decoder is None else decoder.sampler()
