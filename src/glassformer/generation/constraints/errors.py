"""What is wrong with a constraint."""

from glassformer.generation.errors import GenerationError


class ConstraintError(GenerationError):
    """A constraint that is malformed, not supported, too large, or that no text fulfils.

    Attributes:
        path: where in it, such as `#/properties/age/minimum` of a schema or `character 7` of a pattern; empty: as a
            whole.
    """

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(f"{path}: {message}" if path else message)
