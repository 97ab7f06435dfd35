"""Holds one continuation to a constraint, token by token."""

from __future__ import annotations

from collections.abc import Collection

from glassformer.generation.constraints.errors import ConstraintError
from glassformer.generation.constraints.masks import Float32, Masks


class Guide:
    """What the next token of a continuation may be.

    Every state can be completed, a byte for a token at worst. While enough tokens are left, all that goes on with a
    text of the constraint is allowed; when they run short, only what can still be completed is. So a text is complete
    wherever the number of tokens is at least the number of bytes of the shortest one.

    Attributes:
        finished: whether the text is complete and nothing may follow it.
    """

    def __init__(self, masks: Masks, tokens: list[bytes], end_ids: Collection[int]) -> None:
        """`tokens`: the bytes of every id; `end_ids`: those of the masks.

        Raises:
            ConstraintError: if only the empty text fulfils the constraint.
        """
        self._masks, self._tokens = masks, tokens
        self._end_ids = frozenset(end_ids)
        self._state = masks.machine.start
        self.finished = False
        if not self._state.threads:
            raise ConstraintError("only the empty text fulfils the constraint; there is nothing to generate")

    @property
    def complete(self) -> bool:
        """Whether the text so far fulfils the constraint."""
        return self._state.accepting

    def mask(self, left: int) -> Float32:
        """float32 [vocab_size], to be added to the logits: 0 for tokens that may come next, else minus infinity.

        Args:
            left: how many tokens may still come, this one included.
        """
        mask = self._masks.of(self._state)
        return mask.row if mask.worst < left else self._closing(left)

    def _closing(self, left: int) -> Float32:
        """Tokens behind which the text can be completed in time; all that are possible where there are none."""
        row = self._masks.row(self._state, left)
        if self.complete or not row.all():
            return row
        return self._masks.of(self._state).row

    def push(self, token: int, left: int) -> None:
        """The text goes on with an allowed token, behind which `left` may come."""
        if token in self._end_ids:
            return
        state = self._masks.after(self._state, token, self._tokens[token])
        if state is None:
            raise ConstraintError(f"token {token} is not allowed here")
        self._state = state
        self.finished = state.accepting and (not state.threads or self._stuck(left))

    def _stuck(self, left: int) -> bool:
        """Whether a complete text has no end token to choose, and nothing else can be completed in time."""
        if self._end_ids or left == 0:
            return False
        return self._masks.of(self._state).worst >= left and bool(self._closing(left).all())
