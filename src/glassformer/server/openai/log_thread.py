"""Writes the access log in a thread of its own: whoever reads it slowly, or not at all, holds up no request."""

from __future__ import annotations

import threading
from queue import Full, Queue

from glassformer.server.openai.access import Access, Log, say

MOST_WAITING = 10_000  # lines
LAST_SECONDS = 1.0  # for what is left at the end


class LogThread:
    """A log whose lines wait for their reader; when too many do, further ones are dropped, and counted.

    A context manager, which gives the last lines a moment to be read.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: Queue[Access | None] = Queue(MOST_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="glassformer-log", daemon=True)

    def __call__(self, access: Access) -> None:
        """Note a request; never waits."""
        try:
            self._waiting.put_nowait(access)
        except Full:
            self._dropped += 1

    def __enter__(self) -> LogThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._waiting.put(None, timeout=LAST_SECONDS)
        except Full:
            return
        self._thread.join(LAST_SECONDS)

    def _write(self) -> None:
        while (access := self._waiting.get()) is not None:
            if dropped := self._dropped:
                self._dropped -= dropped
                say(f"glassformer: {dropped} lines of the log were dropped, because nobody read them in time")
            self._log(access)
