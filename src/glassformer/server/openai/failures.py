"""Errors of the engine and the model as statuses of HTTP."""

from __future__ import annotations

from math import ceil

from starlette.responses import JSONResponse

from glassformer.generation.errors import ContextError, LogitsError
from glassformer.generation.serving_errors import BusyError, CancelledError, ClosedError, DeadlineError, TooLongError
from glassformer.server.errors import RequestError, error_response

TOO_LONG = "context_length_exceeded"


def known(error: Exception) -> Exception:
    """The error as one that has a status, if it is one that a model or an engine makes."""
    message = str(error)
    if isinstance(error, ContextError | TooLongError):
        return RequestError(message, status=400, param="prompt", code=TOO_LONG)
    if isinstance(error, BusyError):
        return RequestError(message, status=429, code="queue_full")
    if isinstance(error, DeadlineError):
        return RequestError(message, status=503, code="deadline")
    if isinstance(error, ClosedError | CancelledError):
        return RequestError(message, status=503, code="closed")
    if isinstance(error, LogitsError):
        return RequestError(message, status=500, code="logits")
    return error


def failure(error: Exception) -> JSONResponse:
    """The answer to a request that failed."""
    response = error_response(known(error))
    if isinstance(error, BusyError):
        response.headers["retry-after"] = str(max(1, ceil(error.retry_after)))
    return response
