"""Which lines are done already, and that they are those that the input still holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from glassformer.batch.errors import InputError
from glassformer.batch.lines import Line, read_lines

OTHER_INPUT = "go on with the input that the results were begun with, name another output, or give --restart"


@dataclass(frozen=True)
class Done:
    """Lines with results.

    Attributes:
        numbers: in ascending order, [lines].
        digests: of their bytes, as numbers, [lines].
        failed: how many of the results are errors.
    """

    numbers: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint64]
    failed: int

    @classmethod
    def none(cls) -> Done:
        """Nothing is done yet."""
        return cls(np.empty(0, np.int64), np.empty(0, np.uint64), 0)

    def __len__(self) -> int:
        return len(self.numbers)

    def rest(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Those of the lines, in their order, that are not done.

        Raises:
            InputError: at a line that is not what it was when it was done, or where one that was done is missing.
        """
        place = 0
        for line in lines:
            if place == len(self) or line.number < self.numbers[place]:
                yield line
                continue
            if line.number > self.numbers[place]:
                raise InputError(f"line {self.numbers[place]} of the input has a result, and is empty; {OTHER_INPUT}")
            if int(line.digest, 16) != int(self.digests[place]):
                raise InputError(f"line {line.number} of the input is not what it was when it was done; {OTHER_INPUT}")
            place += 1
        if place < len(self):
            raise InputError(
                f"the input ends before line {self.numbers[place]}, which has a result already; {OTHER_INPUT}"
            )


def count_rest(file: BinaryIO, done: Done) -> int:
    """How many lines of a file are not done; errors as `Done.rest`. The file is set back to where it stands."""
    start = file.tell()  # standard input may have been read by others before
    count = sum(1 for _ in done.rest(read_lines(file)))
    file.seek(start)
    return count
