"""Log-probabilities in the two shapes that clients expect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glassformer.generation.logprobs import TokenLogprob
from glassformer.generation.text import PaddedDetokenizer, SilentDetokenizer
from glassformer.model import Model
from glassformer.server.openai.tokens import token_bytes, token_name

Object = dict[str, Any]


class TextLogprobs:
    """Writes those of /v1/completions, with the place of each token in the text of its choice, in characters."""

    def __init__(self, model: Model, offset: int = 0) -> None:
        self.model, self.offset = model, offset
        self.pieces = SilentDetokenizer() if model.tokenizer is None else PaddedDetokenizer(model.tokenizer.stream())

    def write(self, found: Iterable[TokenLogprob | int]) -> Object:
        """Four lists, an entry for each token; a bare id stands for a token that nothing comes before."""
        tokens: list[str] = []
        logprobs: list[float | None] = []
        tops: list[dict[str, float] | None] = []
        offsets: list[int] = []
        for each in found:
            token = each if isinstance(each, int) else each.id
            tokens.append(token_name(self.model, token))
            logprobs.append(None if isinstance(each, int) else each.logprob)
            tops.append(None if isinstance(each, int) else self.top(each))
            offsets.append(self.offset)
            self.offset += len(self.pieces.push(token))
        return {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets}

    def top(self, found: TokenLogprob) -> dict[str, float]:
        """The most probable tokens by name, and the one that was chosen."""
        names: dict[str, float] = {}
        for token, logprob in (*found.top, (found.id, found.logprob)):
            names.setdefault(token_name(self.model, token), logprob)
        return names


def chat_logprobs(model: Model, found: Iterable[TokenLogprob]) -> Object:
    """Those of /v1/chat/completions."""

    def named(token: int, logprob: float) -> Object:
        return {"token": token_name(model, token), "logprob": logprob, "bytes": list(token_bytes(model, token))}

    content = [named(each.id, each.logprob) | {"top_logprobs": [named(*other) for other in each.top]} for each in found]
    return {"content": content, "refusal": None}
