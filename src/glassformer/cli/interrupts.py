"""Ctrl-C, remembered: code that is interrupted while it imports may report something else than the interrupt."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupts:
    """Whether there was one."""

    seen: bool = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler: remembers the interrupt, then raises KeyboardInterrupt as Python does by itself."""
        self.seen = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def watched_interrupts() -> Iterator[Interrupts]:
    """Watch for Ctrl-C meanwhile. A process that was started with interrupts ignored goes on ignoring them."""
    interrupts = Interrupts()
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts.note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
