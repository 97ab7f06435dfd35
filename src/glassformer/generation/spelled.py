"""Tokens with their texts and log-probabilities, as objects of JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glassformer.generation.logprobs import TokenLogprob
from glassformer.tokenizer.errors import TokenizerError

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel


def spelled_logprobs(model: TextModel, logprobs: Sequence[TokenLogprob]) -> list[dict[str, object]]:
    """Each generated token with its log-probability and those of the most probable ones."""
    return [
        _token(model, step.id, step.logprob) | {"top": [_token(model, token, value) for token, value in step.top]}
        for step in logprobs
    ]


def _token(model: TextModel, token: int, logprob: float) -> dict[str, object]:
    return {"id": token, "token": _text(model, token), "logprob": logprob if math.isfinite(logprob) else None}


def _text(model: TextModel, token: int) -> str | None:
    """Text of a token; None where no vocabulary has one, as for the rows that pad an embedding."""
    try:
        return model.tokenizer.token_bytes(token).decode("utf-8", "replace") if model.tokenizer else None
    except TokenizerError:
        return None
