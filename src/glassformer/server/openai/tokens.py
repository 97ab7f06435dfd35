"""Tokens as answers name them."""

from __future__ import annotations

from glassformer.generation.text import PaddedDetokenizer
from glassformer.model import Model
from glassformer.tokenizer.errors import TokenizerError


def token_bytes(model: Model, token: int) -> bytes:
    """The bytes of a token; its number as text where the model has no vocabulary, none where it names no token."""
    if model.tokenizer is None:
        return str(token).encode()
    try:
        return model.tokenizer.token_bytes(token)
    except TokenizerError:
        return b""


def token_name(model: Model, token: int) -> str:
    """The text of a token; "bytes:\\xe2\\x80" for bytes that are no whole characters."""
    data = token_bytes(model, token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def text_of(model: Model, ids: list[int]) -> str:
    """The text of ids; empty where the model has no vocabulary."""
    if model.tokenizer is None:
        return ""
    pieces = PaddedDetokenizer(model.tokenizer.stream())
    return "".join(map(pieces.push, ids)) + pieces.flush()
