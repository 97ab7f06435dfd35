"""/v1/embeddings: texts as vectors, the final hidden state of their tokens."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from glassformer.introspect.embedding import Pooling
from glassformer.server.body import read_object
from glassformer.server.fields import Asked
from glassformer.server.openai.harmless import ANYWHERE, check_harmless
from glassformer.server.openai.leaving import unless_gone
from glassformer.server.openai.parameters import check_model, given
from glassformer.server.openai.prompts import read_prompts
from glassformer.server.openai.service import Service
from glassformer.server.openai.usage import Usage

KEYS = ("model", "input", "encoding_format", "dimensions", "pooling", *ANYWHERE)
Float32 = npt.NDArray[np.float32]


async def embeddings(service: Service, request: Request) -> Response:
    """Answer a request: of each text the mean over its tokens, or with `pooling: "last"` the last token's state."""
    asked = Asked(given(await read_object(request)), KEYS, text=False)
    check_model(asked, service.name)
    check_harmless(asked, ANYWHERE)
    model = service.model
    pooling: Pooling = "last" if asked.choice("pooling", ("mean", "last"), "mean") == "last" else "mean"
    encoding = asked.choice("encoding_format", ("float", "base64"), "float")
    asked.integer("dimensions", model.config.n_embd, model.config.n_embd, model.config.n_embd)
    prompts = await read_prompts(model, asked, "input")
    vectors = await unless_gone(request, embedded(service, prompts, pooling), service.deadline)
    usage = Usage.of(prompts)
    service.counters.add(usage)
    data = [
        {"object": "embedding", "index": index, "embedding": written(vector, encoding)}
        for index, vector in enumerate(vectors)
    ]
    cost = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}
    return JSONResponse({"object": "list", "data": data, "model": service.name, "usage": cost})


async def embedded(service: Service, prompts: list[list[int]], pooling: Pooling) -> list[Float32]:
    """The vector of each text, one text after the other between the engine's steps."""
    return [await service.driver.run(lambda ids=ids: service.model.embed(ids, pooling=pooling)) for ids in prompts]  # type: ignore[misc]


def written(found: Float32, encoding: str) -> Any:
    """Numbers as a list, or as base64 of little-endian float32."""
    return found.tolist() if encoding == "float" else base64.b64encode(found.astype("<f4").tobytes()).decode()
