"""Work that is given up when the client leaves, or when its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from glassformer.generation.serving_errors import DeadlineError
from glassformer.server.body import gone
from glassformer.server.errors import RequestError

Result = TypeVar("Result")


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result], seconds: float | None = None) -> Result:
    """The result of some work, which is cancelled when nobody waits for it any more.

    seconds: that the work may take; None: as many as it needs.

    Raises:
        RequestError: the client has left.
        DeadlineError: the time is over.
    """
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait([task, left], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if left.done():
            raise RequestError("the client left before its answer was there", status=499, code="gone")
        raise DeadlineError("the request's time was over before its answer was there")
    finally:
        task.cancel()
        left.cancel()
        await asyncio.gather(task, left, return_exceptions=True)
