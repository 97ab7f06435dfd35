"""Work that is given up when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from glassformer.server.body import gone
from glassformer.server.errors import RequestError

Result = TypeVar("Result")


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of some work, which is cancelled when nobody waits for it any more.

    Raises:
        RequestError: the client has left.
    """
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait([task, left], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RequestError("the client left before its answer was there", status=499, code="gone")
        return task.result()
    finally:
        task.cancel()
        left.cancel()
        await asyncio.gather(task, left, return_exceptions=True)
