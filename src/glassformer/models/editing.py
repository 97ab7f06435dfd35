"""Edits in terms of the rows of a pass: what each launch is told to change."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glassformer.models.observer import Edit, Observation
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.capture import Change
from glassformer.runtime.frames import Place

Int64 = npt.NDArray[np.int64]


class Run(NamedTuple):
    """Tokens of one sequence in a pass.

    part: the sequence's number in the caller's batch; row: of the first one among all tokens of that batch; past: its
    position; tokens: how many.
    """

    part: int
    row: int
    past: int
    tokens: int


def fill_change(change: Change, observation: Observation, numbers: Sequence[int], runs: Sequence[Run]) -> None:
    """Tell a launch what edits, by their numbers, do to the rows of a pass."""
    change.clear()
    for number in numbers:
        edit, source = observation.edits[number], observation.values[1][number]
        row = 0
        for part, _, past, count in runs:
            if edit.part in (None, part):
                positions, values = placed(edit, past, count)
                if len(positions):
                    write(change, edit, source, positions - past + row, positions, values)
            row += count


def placed(edit: Edit, past: int, count: int) -> tuple[Int64, Int64]:
    """Those of so many positions behind `past` that an edit is for, and the row of values for each."""
    positions = np.arange(past, past + count)
    if edit.places is None:
        return positions, np.zeros(count, np.int64)
    known, order = edit.places
    if not len(known):
        return known, order
    index = np.minimum(np.searchsorted(known, positions), len(known) - 1)
    found = known[index] == positions
    return positions[found], order[index[found]]


def write(change: Change, edit: Edit, source: int, rows: Int64, positions: Int64, values: Int64) -> None:
    """Say what an edit does to rows of a pass, whose positions and rows of values these are."""
    shape = (1, 1) if edit.values is None else edit.values.shape
    last = shape[-1]
    width = np.full(len(rows), change.width - edit.begin if edit.width is None else edit.width)
    if edit.square:  # up to the row's own position, and as far as there are values
        width = np.clip(positions + 1 - edit.begin, 0, edit.width)
        width = np.minimum(width, last) if last > 1 else width
    steps = (last if len(shape) == 3 else 0, int(last > 1))
    head = -1 if edit.head is None else edit.head
    change.write(rows, edit.kind, head, edit.begin, width, source + values * prod(shape[1:]), steps, edit.factor)


def check_edit(edit: Edit, place: Place) -> None:
    """Refuse an edit that reaches beyond a row of its site."""
    shape = (1,) if edit.values is None else edit.values.shape
    if place.square:
        heads = place.shape[0]
        if edit.head is not None and not 0 <= edit.head < heads:
            raise ShapeError(f"edit of {edit.site}: head {edit.head} is not among the {heads} of this model")
        if len(shape) == 3 and (shape[1] != heads or edit.head is not None):
            raise ShapeError(f"edit of {edit.site}: values {shape} are for {shape[1]} heads; this model has {heads}")
        return
    row = prod(place.shape)
    width = row - edit.begin if edit.width is None else edit.width
    if not 0 <= edit.begin <= edit.begin + width <= row:
        raise ShapeError(f"edit of {edit.site}: {width} numbers from {edit.begin} on reach beyond a row of {row}")
    if shape[-1] not in (1, width):
        raise ShapeError(f"edit of {edit.site}: rows of {shape[-1]} values for {width} numbers; give 1 or as many")
