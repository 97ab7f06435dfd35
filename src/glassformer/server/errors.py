"""Errors of requests, and the one shape in which they are answered."""

from __future__ import annotations

from starlette.responses import JSONResponse

from glassformer.errors import GlassformerError


class RequestError(GlassformerError):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        param: the parameter that is to blame, where it is one.
        code: a word for programs to tell errors apart by.
    """

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        self.status, self.param, self.code = status, param, code
        super().__init__(message)


def error_response(error: Exception) -> JSONResponse:
    """The answer to a request that failed: `{"error": {"message", "type", "param", "code"}}`."""
    if isinstance(error, RequestError):
        return answer(error.status, str(error), error.param, error.code)
    if isinstance(error, GlassformerError):
        return answer(400, str(error))
    if isinstance(error, MemoryError):
        return answer(503, "not enough memory for this; use a shorter text or a smaller model", code="memory")
    return answer(500, f"unexpected {type(error).__name__}: {error} (a defect of Glassformer: please report it)")


def answer(status: int, message: str, param: str | None = None, code: str | None = None) -> JSONResponse:
    """One error as JSON."""
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")
    kind = "server_error" if status >= 500 else kind
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return JSONResponse({"error": {"message": message, "type": kind, "param": param, "code": code}}, status, headers)
