"""What every test may count on."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def interrupts_heeded() -> Iterator[None]:
    """Whatever runs the tests may ignore interrupts, as a shell's background does, and children would inherit that."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
