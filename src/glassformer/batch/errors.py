"""What can go wrong with a file of prompts."""

from glassformer.errors import GlassformerError


class BatchError(GlassformerError):
    """The root of every error of `glassformer.batch`."""


class LineError(BatchError):
    """A line that asks for nothing that can be done; it becomes a result with this error, and the run goes on."""


class InputError(BatchError):
    """An input that cannot be read, or is not the one that a run began with."""


class OutputError(BatchError):
    """Results that cannot be written, or do not belong to this run."""
