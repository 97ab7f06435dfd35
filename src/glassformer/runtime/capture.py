"""Launches that copy what a model computes into a frame, and launches that change it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.kernels.capture import CHUNK, keep_rows, keep_square, next_frame, pattern_of_scores
from glassformer.kernels.edit import ADD, FIELDS, KIND, MULTIPLY, NOTHING, SET, edit
from glassformer.runtime.arrays import Float32, ShapeError
from glassformer.runtime.executor import Cost, Executor, Launch

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
KINDS = {"set": SET, "add": ADD, "scale": MULTIPLY}


@dataclass(frozen=True, eq=False)
class Target:
    """Where a site's rows go.

    frame: its memory; table: see `glassformer.kernels.capture`; targets: [rows], the row in the frame for each row of
    the pass; number: of the site in the table.
    """

    frame: Float32
    table: Int64
    targets: Int64
    number: int


@dataclass(frozen=True, eq=False)
class Square:
    """Scores or weights of attention: for each row of a pass a number for each position that it may look at.

    data: [n_head, rows, pitch]; target: the same memory, as kernels address it.
    """

    data: Float32
    target: Target


@dataclass(frozen=True, eq=False)
class Change:
    """What is to be done to the rows of a pass; see `glassformer.kernels.edit`.

    what: [rows, FIELDS]; factors: [rows]; width: numbers of a row; values: numbers that `what` refers to.
    """

    what: Int64
    factors: Float32
    width: int
    values: Float32

    @classmethod
    def nothing(cls, rows: int, width: int, values: Float32) -> Change:
        """Room for changes of so many rows."""
        return cls(np.zeros((rows, FIELDS), np.int64), np.ones(rows, np.float32), width, values)

    def clear(self) -> None:
        """Leave all rows as they are."""
        self.what[:, KIND] = NOTHING

    def write(
        self, rows: Int64, kind: str, head: int, begin: int, width: Int64, source: Int64, steps: tuple[int, int],
        factor: float,
    ) -> None:  # fmt: skip
        """Say what is done to rows, see `glassformer.kernels.edit`; steps: to the next head's values and number's."""
        said = (np.full(len(rows), x) for x in (KINDS[kind], head, begin, width, source, *steps))
        self.what[rows] = np.stack(list(said), axis=1)  # [rows, FIELDS]
        self.factors[rows] = factor


def whole_rows(x: Float32, name: str) -> tuple[int, int]:
    """Numbers of a row, and how many lie between two rows, of an array whose rows are contiguous."""
    if x.dtype != np.float32 or x.ndim < 2 or not x[:1].flags.c_contiguous:
        raise ShapeError(f"{name}: found {x.dtype} {x.shape} with strides {x.strides}; expected float32 of whole rows")
    return int(np.prod(x.shape[1:], dtype=np.int64)), x.strides[0] // 4


def keep(executor: Executor, x: Float32 | Square, target: Target) -> None:
    """Copy the rows that are asked for; see `Ops.keep`."""
    frame, table, targets, number = target.frame, target.table, target.targets, target.number
    if isinstance(x, Square):
        heads, rows, pitch = x.data.shape
        arguments = (x.data, frame, table, targets, number, rows, pitch)
        cost = Cost(0, 8 * x.data.size)
        executor.run(Launch(keep_square.specialise(), arguments, heads * rows, x.data.size, cost))
        return
    width, stride = whole_rows(x, "keep")
    rows = len(x)
    tasks = rows * -(-width // CHUNK)
    executor.run(
        Launch(
            keep_rows.specialise(),
            (x, frame, table, targets, number, width, stride),
            tasks,
            x.size,
            Cost(0, 8 * x.size),
        )
    )


def advance(executor: Executor, table: Int64) -> None:
    """Let a table say where the next frame is; see `Ops.next_frame`."""
    executor.run(Launch(next_frame.specialise(), (table,), 1, 1, Cost(0, table.nbytes)))


def pattern_of(executor: Executor, scores: Target, out: Target, positions: Int32, n_head: int, work: int) -> None:
    """Attention weights of the scores of rows at these positions; `work`: numbers in all."""
    rows = len(positions)
    arguments = (
        scores.frame, scores.table, scores.number, out.frame, out.table, out.number, out.targets, positions, rows,
    )  # fmt: skip
    executor.run(Launch(pattern_of_scores.specialise(), arguments, n_head * rows, 8 * work, Cost(0, 8 * work)))


def change(executor: Executor, x: Float32 | Square, wanted: Change) -> None:
    """Change an array in place; see `Ops.edit`."""
    what, factors, values = wanted.what, wanted.factors, wanted.values
    if isinstance(x, Square):
        heads, rows, pitch = x.data.shape
        arguments = (x.data, what, factors, values, rows, pitch, rows * pitch)
        executor.run(Launch(edit.specialise(), arguments, heads * rows, x.data.size, Cost(0, 8 * x.data.size)))
        return
    _, stride = whole_rows(x, "edit")
    arguments = (x, what, factors, values, len(x), stride, 0)
    executor.run(Launch(edit.specialise(), arguments, len(x), x.size, Cost(0, 8 * x.size)))
