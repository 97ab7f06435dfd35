"""/tokenize and /detokenize: texts to ids and back."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from glassformer.generation.prompt import checked_ids
from glassformer.model import Model
from glassformer.server.body import read_object
from glassformer.server.fields import Asked
from glassformer.server.openai.parameters import check_model, flag, given
from glassformer.server.openai.service import Service
from glassformer.server.openai.tokens import text_of, token_name

MOST_CHARACTERS = 1 << 20
MOST_IDS = 1 << 18


async def tokenize(service: Service, request: Request) -> Response:
    """The ids of `prompt` and how many there are; with `return_token_strs`, the text of each."""
    asked = Asked(given(await read_object(request)), ("model", "prompt", "return_token_strs"), text=False)
    check_model(asked, service.name)
    text, named = asked.string("prompt", MOST_CHARACTERS), flag(asked, "return_token_strs")
    return await asyncio.to_thread(tokens_of, service.model, text, named)


async def detokenize(service: Service, request: Request) -> Response:
    """The text of `tokens`."""
    asked = Asked(given(await read_object(request)), ("model", "tokens"), text=False)
    check_model(asked, service.name)
    return await asyncio.to_thread(text_for, service.model, asked.items("tokens", MOST_IDS))


def tokens_of(model: Model, text: str, named: bool) -> Response:
    """The answer with a text's ids."""
    ids = model.known_tokenizer.encode(text)
    found = {"count": len(ids), "max_model_len": model.config.n_positions, "tokens": ids}
    return JSONResponse(found | ({"token_strs": [token_name(model, each) for each in ids]} if named else {}))


def text_for(model: Model, tokens: list[Any]) -> Response:
    """The answer with the text of what should be ids."""
    ids = checked_ids(tokens, model.config.vocab_size, "tokens")
    _ = model.known_tokenizer
    return JSONResponse({"prompt": text_of(model, ids)})
