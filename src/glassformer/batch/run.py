"""From lines to results, one run: what is done is passed over, what comes is written and counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from glassformer.batch.results import Result


@dataclass
class Tally:
    """What has come so far.

    Attributes:
        known: lines that had a result before this run.
        lines: results of this run.
        failed: how many of all results are errors.
        prompt_tokens, tokens: that the model read as given, and wrote, in this run.
    """

    known: int = 0
    lines: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    begun: float = 0.0

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.begun

    @property
    def tokens_per_second(self) -> float:
        """Tokens written, or read where none are written."""
        return (self.tokens or self.prompt_tokens) / max(self.seconds, 1e-9)

    def add(self, result: Result) -> None:
        """Count a result."""
        self.lines += 1
        self.failed += result.failed
        self.prompt_tokens += result.prompt_tokens
        self.tokens += result.tokens


def write_results(
    results: Iterator[Result], append: Callable[[bytes], None], tally: Tally, progress: Callable[[int], None]
) -> None:
    """Write results as they come. progress: told how many have come."""
    tally.begun = time.monotonic()
    for result in results:
        append(result.data)
        tally.add(result)
        progress(tally.lines)
