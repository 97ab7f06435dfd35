"""/v1/models: the one model that is served."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from glassformer.server.errors import RequestError
from glassformer.server.openai.service import Service


async def models(service: Service, request: Request) -> Response:
    """All models."""
    return JSONResponse({"object": "list", "data": [described(service)]})


async def model(service: Service, request: Request) -> Response:
    """One model by its name, which is compared and used for nothing else."""
    name = request.path_params["name"]
    if name != service.name:
        message = f"there is no model {name[:80]!r} here; this server serves {service.name!r}"
        raise RequestError(message, status=404, param="model", code="model_not_found")
    return JSONResponse(described(service))


def described(service: Service) -> dict[str, object]:
    """The model, as the interface describes models, and its context window in tokens."""
    return {
        "id": service.name,
        "object": "model",
        "created": service.created,
        "owned_by": "glassformer",
        "max_model_len": service.model.config.n_positions,
        "chat": service.template is not None,
    }
