"""How much work a constraint may take to be made, all of its parts together."""

from glassformer.generation.constraints.errors import ConstraintError

MOST_EFFORT = 2_000_000  # steps of about a microsecond


class Effort:
    """Work that is left for one constraint, counted so that the same constraints are refused on every machine.

    A step is a look at an edge of an automaton, or what takes as long.
    """

    def __init__(self, left: int = MOST_EFFORT) -> None:
        self.left = left

    def spend(self, steps: int) -> None:
        """Count some work.

        Raises:
            ConstraintError: if it is more than what is left.
        """
        self.left -= steps
        if self.left < 0:
            raise ConstraintError(
                f"the constraint takes more than {MOST_EFFORT:,} steps to be made; give fewer or simpler patterns, "
                "numbers with bounds, constants, properties or alternatives"
            )
