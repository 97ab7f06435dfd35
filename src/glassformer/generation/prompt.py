"""Token ids from outside, checked before they reach the network."""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from glassformer.generation.errors import PromptError
from glassformer.generation.options import is_int

Ids = Sequence[int] | npt.NDArray[np.integer]
Prompt = str | Ids
Prompts = list[str] | list[list[int]] | list[npt.NDArray[np.integer]] | tuple[str, ...] | tuple[Sequence[int], ...]


def are_several(prompt: Prompt | Prompts) -> TypeGuard[Prompts]:
    """Whether this is a list of prompts and not one: its first item is a text or has items itself."""
    if not isinstance(prompt, list | tuple) or not prompt:
        return False
    return isinstance(prompt[0], str | list | tuple | np.ndarray)


def checked_ids(ids: Ids, vocab_size: int, what: str = "the prompt") -> list[int]:
    """`ids` as a list of Python ints, each a token of the vocabulary.

    Args:
        ids: a sequence of whole numbers, or an integer array of one axis.
        vocab_size: ids reach from 0 to one below this.
        what: how messages name the ids.

    Raises:
        PromptError: naming the first offender and its place.
    """
    if isinstance(ids, np.ndarray) and ids.ndim != 1:
        raise PromptError(f"{what} is an array of shape {ids.shape}; give ids of one axis, [tokens]")
    if not isinstance(ids, (Sequence, np.ndarray)) or isinstance(ids, (bytes, bytearray, memoryview)):
        raise PromptError(f"{what} is of type {type(ids).__name__}; give text (str) or a list of token ids")
    for place, token in enumerate(ids):
        if not is_int(token):
            raise PromptError(f"{what} holds {token!r} at place {place}; a token id is a whole number")
        if not 0 <= token < vocab_size:
            raise PromptError(
                f"{what} holds id {token} at place {place}; this model's ids reach from 0 to {vocab_size - 1}"
            )
    return [int(token) for token in ids]
