"""Why a request is not accepted, or ends before its text does."""

from glassformer.generation.errors import GenerationError


class ServingError(GenerationError):
    """The root of what an engine tells a request."""


class BusyError(ServingError):
    """The queue is full.

    Attributes:
        retry_after: seconds after which there may be room.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TooLongError(ServingError):
    """A request that the memory for keys and values could not hold if it were the only one."""


class DeadlineError(ServingError):
    """A request's time is over."""


class CancelledError(ServingError):
    """Nobody wants the rest of a text any more."""


class ClosedError(ServingError):
    """The engine takes no requests any more, or was stopped before this one had ended."""
