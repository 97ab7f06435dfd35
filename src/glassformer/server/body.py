"""Bodies of requests: JSON objects of limited size."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from glassformer.formats.strict_json import JsonError, parse_object
from glassformer.server.errors import RequestError

MOST_BYTES = 4 << 20
MOST_SECONDS = 20.0  # that a body may take to arrive
AT_ONCE = 1 << 15  # bytes of a body that is read without a thread of its own, while other requests wait


async def read_object(request: Request, most: int = MOST_BYTES) -> dict[str, object]:
    """The JSON object in a request's body.

    Raises:
        RequestError: for another content type (which also keeps pages of other origins out, since a browser asks
            before it sends this one), a body that is too large, too slow or cut off, or text that is no JSON object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = f"the content type is {kind[:60]!r}; send the header content-type: application/json"
        raise RequestError(message, status=415)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        message = f"the body has the content encoding {coding[:60]!r}; send it as it is, without compression"
        raise RequestError(message, status=415)
    too_large = RequestError(f"the body is larger than {most:,} bytes; send less", status=413)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    data = bytearray()
    try:
        async with asyncio.timeout(MOST_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise too_large
    except TimeoutError:
        raise RequestError(f"the body did not arrive within {MOST_SECONDS:g} seconds", status=408) from None
    except ClientDisconnect:
        raise RequestError("the client left before its request was whole", status=400, code="gone") from None
    try:
        if len(data) > AT_ONCE:
            return await asyncio.to_thread(parse_object, bytes(data))
        return parse_object(bytes(data))
    except JsonError as error:
        raise RequestError(f"the body is wrong: {error}", status=400, code="json") from None


async def gone(request: Request) -> None:
    """Ends when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
