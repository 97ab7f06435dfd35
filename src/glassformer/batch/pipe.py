"""A pipe as a source of lines: nobody waits for the next one while there are results to give."""

from __future__ import annotations

import os
import select

PIECE = 1 << 16  # bytes that are read at a time


class Pipe:
    """Reads lines from a descriptor, and tells whether the next would have to be waited for."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._waiting = bytearray()
        self._seen = 0  # of these bytes, how many are no line's end

    def readline(self, limit: int) -> bytes:
        """A line with its end; at most so many bytes of it; nothing behind the last one."""
        while (end := self._end(limit)) == 0 and not self.ended:
            piece = os.read(self.descriptor, PIECE)
            self.ended = not piece
            self._waiting += piece
        end = end or len(self._waiting)
        line = bytes(self._waiting[:end])
        del self._waiting[:end]
        self._seen = 0
        return line

    def idle(self) -> bool:
        """Whether neither a line nor the end has come yet."""
        if self.ended or self._end(len(self._waiting) + 1):
            return False
        return not select.select([self.descriptor], [], [], 0)[0]

    def _end(self, limit: int) -> int:
        """Where the first line, or what is read of it at once, ends; 0: not yet."""
        found = self._waiting.find(b"\n", self._seen, limit) + 1
        if not found:
            self._seen = min(len(self._waiting), limit)
        return found or (limit if len(self._waiting) >= limit else 0)
