"""Answers that take long to be put into words are made in another thread, so that other requests do not wait for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from starlette.responses import JSONResponse

from glassformer.server.openai.events import Events

Made = TypeVar("Made")
AT_ONCE = 2_000  # log-probabilities that are written without a thread


class Whole(JSONResponse):
    """An answer with choices, each of which is encoded by itself: between two of them other threads have a turn."""

    def render(self, content: Any) -> bytes:
        """The same text as of the object in one go."""
        parts = (f"{encoded(key)}:{self.field(key, value)}" for key, value in content.items())
        return f"{{{','.join(parts)}}}".encode()

    def field(self, key: str, value: Any) -> str:
        """The value of a field."""
        return f"[{','.join(map(encoded, value))}]" if key == "choices" else encoded(value)


def encoded(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def joined(written: Events, several: Iterable[dict[str, Any] | None]) -> bytes:
    """Pieces of a stream behind each other; those that are None add nothing."""
    return b"".join(written.choice(piece) for piece in several if piece)


async def made(job: Callable[[], Made], entries: int) -> Made:
    """What a job gives, which writes so many log-probabilities."""
    return job() if entries <= AT_ONCE else await asyncio.to_thread(job)
