"""Tokens as people name and read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from glassformer.generation.errors import PromptError
from glassformer.generation.stopping import check_fits
from glassformer.introspect.errors import IntrospectionError
from glassformer.tokenizer.errors import TokenizerError

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Token = str | int  # its text, or its id


def token_text(model: TextModel, token: int) -> str:
    """A token's text; its id in brackets where the vocabulary has no text for it."""
    try:
        return f"[{token}]" if model.tokenizer is None else model.tokenizer.decode([token])
    except TokenizerError:
        return f"[{token}]"


def token_texts(model: TextModel, ids: Iterable[int]) -> list[str]:
    """The text of each token."""
    return [token_text(model, int(token)) for token in ids]


def token_id(model: TextModel, token: Token) -> int:
    """The id of a token that is named by its text or its id.

    Raises:
        IntrospectionError: for a text that is not one token, or an id outside the vocabulary.
        NoTokenizerError: for a text, if the model has no vocabulary.
    """
    if isinstance(token, str):
        ids = model.ids(token)
        if len(ids) != 1:
            made = ", ".join(repr(text) for text in token_texts(model, ids)) or "no token at all"
            raise IntrospectionError(
                f"{token!r} is not one token but {len(ids)} ({made}); name one token of the vocabulary, "
                "most words with the space before them, or give an id"
            )
        return ids[0]
    if isinstance(token, bool) or not isinstance(token, int | np.integer) or not 0 <= token < model.config.vocab_size:
        raise IntrospectionError(
            f"token {token!r} is not of this model; give a text, or an id from 0 to {model.config.vocab_size - 1}"
        )
    return int(token)


def token_ids(model: TextModel, tokens: Iterable[Token]) -> list[int]:
    """The ids of tokens that are named by text or id; `token_id` says what is refused."""
    return [token_id(model, token) for token in tokens]


def text_ids(model: TextModel, prompt: Any, what: str = "the text") -> list[int]:
    """The ids of a text that a model can run on.

    Raises:
        PromptError: for an empty text, or ids that are not of this model.
        ContextError: if the text exceeds the context window.
    """
    ids = model.ids(prompt)
    if not ids:
        raise PromptError(f"{what} is empty, and nothing is computed without a token; give at least one")
    check_fits(len(ids), model.config.n_positions, what)
    return ids
