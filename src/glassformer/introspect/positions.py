"""Positions in a text, layers and heads, as people select them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from glassformer.introspect.errors import IntrospectionError

Positions = int | slice | Sequence[int] | None


def absolute_positions(positions: Positions, tokens: int) -> npt.NDArray[np.int64]:
    """The positions meant, from 0; None: all; negative ones count from the end.

    Raises:
        IntrospectionError: for positions that a text of so many tokens does not have.
    """
    if positions is None or isinstance(positions, slice):
        found = np.arange(tokens)[slice(None) if positions is None else positions]
    else:
        found = np.atleast_1d(np.asarray(positions))
        if found.size and (found.dtype.kind not in "iu" or found.ndim != 1):
            raise IntrospectionError(f"positions are {positions!r}; give a whole number, several, a slice, or None")
        beyond = [int(place) for place in found if not -tokens <= place < tokens]
        if beyond:
            raise IntrospectionError(f"position {beyond[0]} is not in a text of {tokens} tokens")
    return found.astype(np.int64) % tokens


def rows_of(positions: Positions, kept: npt.NDArray[np.int64], tokens: int) -> npt.NDArray[np.int64]:
    """Where the rows of positions lie in arrays that hold the rows of `kept`; None: all that were kept.

    Raises:
        IntrospectionError: for a position whose row was not captured, or no position at all.
    """
    if not len(kept):
        raise IntrospectionError("no position was captured, so there is nothing to read; name some in `positions`")
    if positions is None:
        return np.arange(len(kept))
    places = {int(position): place for place, position in enumerate(kept)}
    wanted = absolute_positions(positions, tokens)
    if not len(wanted):
        raise IntrospectionError(f"positions {positions!r} select nothing in a text of {tokens} tokens")
    missing = [int(position) for position in wanted if int(position) not in places]
    if missing:
        raise IntrospectionError(f"position {missing[0]} was not captured; name it in `positions` when you capture")
    return np.array([places[int(position)] for position in wanted], np.int64)


def numbers(name: str, asked: Sequence[int] | None, size: int) -> list[int]:
    """The layers, heads or neurons that are meant; None: all; negative ones count from the end.

    Raises:
        IntrospectionError: for one that a model does not have.
    """
    beyond = [number for number in asked or () if not -size <= number < size]
    if beyond:
        raise IntrospectionError(f"{name} {beyond[0]} is not among the {size} of this model")
    return list(range(size)) if asked is None else [number % size for number in asked]
