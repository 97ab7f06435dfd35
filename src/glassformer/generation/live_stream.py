"""A continuation that another thread writes: steps arrive in a queue, and whoever reads may go at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from glassformer.generation.continuation import Generation, Step, gather


class LiveStream(Iterator[Step]):
    """Iterates over the steps of one request, as the engine takes them; for one reader.

    An error that ends the request comes out of the iteration. As a context manager, it cancels the request on the way
    out, if that has not ended.

    Attributes:
        prompt_ids: what the model reads first.
        seed: the seed that repeats this continuation; None if nothing is drawn at random.
        ended: whether all steps, or an error, have come out of it.
    """

    def __init__(
        self, prompt_ids: Sequence[int], seed: int | None, cancel: Callable[[], None],
        notify: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """`cancel`: tells the engine; `notify`: see `glassformer.generation.serving.Engine.submit`."""
        self.prompt_ids, self.seed = list(prompt_ids), seed
        self.ended = False
        self.notify = notify
        self._cancel = cancel
        self._arrived: SimpleQueue[Step | Exception | None] = SimpleQueue()
        self._done: list[Step] = []

    def put(self, arrived: Step | Exception | None) -> None:
        """A step, or the end: an error, or None behind the last step. For the engine, which notifies the reader."""
        self._arrived.put(arrived)

    def cancel(self) -> None:
        """Nobody wants the rest: the request ends within a step, with a CancelledError if somebody still reads."""
        self._cancel()

    @property
    def arrived(self) -> bool:
        """Whether something has come that was not read."""
        return not self._arrived.empty()

    @property
    def begun(self) -> bool:
        """Whether a step, or the end, has been read."""
        return self.ended or bool(self._done)

    def __next__(self) -> Step:
        """The next step, which may have to be waited for."""
        if self.ended:
            raise StopIteration
        return self._take(self._arrived.get())

    def ready(self) -> list[Step]:
        """The steps that have come and were not read, without waiting; an error comes when they were."""
        found: list[Step] = []
        while not self.ended:
            try:
                arrived = self._arrived.get_nowait()
            except Empty:
                break
            if isinstance(arrived, Exception) and found:  # next time
                self._arrived.put(arrived)
                break
            with suppress(StopIteration):
                found.append(self._take(arrived))
        return found

    def finish(self) -> Generation:
        """Wait for the end and return the whole continuation."""
        for _ in self:
            pass
        return self.result

    @property
    def result(self) -> Generation:
        """The whole continuation, once the iteration has ended.

        Raises:
            GenerationError: while it has not.
        """
        return gather(self._done, self.prompt_ids, self.seed)

    def __enter__(self) -> LiveStream:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.ended:
            self.cancel()

    def _take(self, arrived: Step | Exception | None) -> Step:
        if isinstance(arrived, Step):
            self._done.append(arrived)
            return arrived
        self.ended = True
        if arrived is None:
            raise StopIteration
        raise arrived
