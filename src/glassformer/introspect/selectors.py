"""Which layers, heads, neurons, positions, steps and keys an intervention is about.

A selector is a whole number, several of them, or a slice, and means what it means to a NumPy axis: a number picks one
and drops the axis, a negative one counts from the end, a slice stops where the axis ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from glassformer.formats.strict_json import brief
from glassformer.generation.options import is_int
from glassformer.introspect.errors import IntrospectionError

Selector = int | Sequence[int] | slice | None
Int64 = npt.NDArray[np.int64]

LARGEST = 1 << 31  # no axis is longer
MOST = 1 << 17  # numbers in one selector
PARTS = ("start", "stop", "step")


def checked(value: object, name: str) -> Selector:
    """A selector in its one form: an int, a tuple of different ints, a slice, or None for everything.

    Raises:
        IntrospectionError: for anything else, naming the selector.
    """
    if value is None or is_int(value):
        return None if value is None else whole(value, name)
    if isinstance(value, slice):
        start, stop, step = (None if part is None else whole(part, name) for part in slice_parts(value))
        if step is not None and step < 1:
            raise IntrospectionError(f"{name} is a slice with step {step}; a step is at least 1")
        return slice(start, stop, step)
    if isinstance(value, range | list | tuple | np.ndarray) and 0 < len(value) <= MOST:
        numbers = tuple(whole(each, name) for each in value)
        if len(set(numbers)) < len(numbers):
            raise IntrospectionError(f"{name} names {repeated(numbers)} twice; name each once")
        return numbers
    raise IntrospectionError(
        f"{name} is {brief(value)}; it must be a whole number, a list of 1 to {MOST:,} whole numbers, or a slice"
    )


def slice_parts(value: slice) -> tuple[object, object, object]:
    """Start, stop and step."""
    return value.start, value.stop, value.step


def whole(value: object, name: str) -> int:
    """A whole number that can be an index."""
    if not is_int(value) or not -LARGEST <= int(value) < LARGEST:  # type: ignore[call-overload]
        raise IntrospectionError(f"{name} holds {brief(value)}; it must be a whole number of at most {LARGEST:,}")
    return int(value)  # type: ignore[call-overload, no-any-return]


def repeated(numbers: Sequence[int]) -> int:
    """The first number that is there twice."""
    seen: set[int] = set()
    return next(number for number in numbers if number in seen or seen.add(number))  # type: ignore[func-returns-value]


def picks_one(selector: Selector) -> bool:
    """Whether a selector is a single number, which drops the axis."""
    return isinstance(selector, int)


def picked(selector: Selector, size: int, what: str) -> tuple[int, ...]:
    """The indices that a selector picks of an axis, in its order.

    Args:
        size: of the axis.
        what: its entries in a message, like "heads".

    Raises:
        IntrospectionError: for a number beyond the axis, one that is named twice, or none at all.
    """
    if selector is None:
        return tuple(range(size))
    if isinstance(selector, slice):
        found = tuple(range(*selector.indices(size)))
        if not found:
            raise IntrospectionError(f"{source(selector)} picks none of the {size} {what}")
        return found
    numbers = (selector,) if isinstance(selector, int) else tuple(selector)
    wrong = next((number for number in numbers if not -size <= number < size), None)
    if wrong is not None:
        raise IntrospectionError(f"{wrong} is not among the {size} {what} (0 to {size - 1}, or -{size} to -1)")
    return different(tuple(number % size for number in numbers), numbers)


def different(found: tuple[int, ...], numbers: Sequence[int]) -> tuple[int, ...]:
    """What was found, if it is different for different numbers (the last one and -1 may be the same)."""
    if len(set(found)) < len(found):
        raise IntrospectionError(f"{list(numbers)} names {repeated(found)} twice; name each once")
    return found


def positions(selector: Selector, prompt_length: int, limit: int) -> Int64:
    """The absolute positions that a selector picks, in its order.

    Negative numbers count from the end of the prompt; a slice without a stop goes on beyond it, to what is generated.

    Args:
        limit: positions of the model.

    Raises:
        IntrospectionError: for a position that no text of the model has, or one before the prompt's first.
    """
    if selector is None:
        return np.arange(limit, dtype=np.int64)
    if isinstance(selector, slice):
        start, stop, step = selector.start, selector.stop, selector.step
        begin = 0 if start is None else start if start >= 0 else max(start + prompt_length, 0)
        end = limit if stop is None else stop if stop >= 0 else stop + prompt_length
        return np.arange(begin, max(min(end, limit), begin), step or 1, dtype=np.int64)
    numbers = (selector,) if isinstance(selector, int) else tuple(selector)
    for number in numbers:
        if number >= limit or number < -prompt_length:
            bounds = f"the model has {limit} positions, the prompt {prompt_length} tokens"
            raise IntrospectionError(f"there is no position {number}: {bounds}")
    found = tuple(number + prompt_length if number < 0 else number for number in numbers)
    return np.array(different(found, numbers), np.int64)


def steps(selector: Selector, prompt_length: int, limit: int) -> npt.NDArray[np.bool_]:
    """Whether each position [limit] is read in a step that the selector picks.

    Step 0 reads the prompt, step s >= 1 the s-th generated token, at position prompt_length + s - 1.
    """
    step_of = np.maximum(np.arange(limit) - prompt_length + 1, 0)
    if selector is None:
        return np.ones(limit, bool)
    if isinstance(selector, slice):
        begin, end = selector.start or 0, limit + 1 if selector.stop is None else min(selector.stop, limit + 1)
        numbers = list(range(begin, end, selector.step or 1))
    else:
        numbers = [selector] if isinstance(selector, int) else list(selector)
    found: npt.NDArray[np.bool_] = np.isin(step_of, numbers)
    return found


def check_steps(selector: Selector) -> None:
    """Refuse steps before the first: nobody knows how many there will be.

    Raises:
        IntrospectionError: naming the number.
    """
    if isinstance(selector, slice):
        numbers = [part for part in (selector.start, selector.stop) if part is not None]
    else:
        numbers = [] if selector is None else [selector] if isinstance(selector, int) else list(selector)
    wrong = next((number for number in numbers if number < 0), None)
    if wrong is not None:
        raise IntrospectionError(f"step names {wrong}; steps count from 0, the prompt, and have no last one")


def as_json(selector: Selector) -> object:
    """A selector as a value of JSON: a number, a list, or an object with start, stop and step."""
    if isinstance(selector, slice):
        return {name: part for name, part in zip(PARTS, slice_parts(selector), strict=True) if part is not None}
    return selector if selector is None or isinstance(selector, int) else list(selector)


def from_json(value: object, name: str) -> Selector:
    """The selector that a value of JSON means.

    Raises:
        IntrospectionError: for anything that `as_json` does not give.
    """
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - set(PARTS))
        if unknown:
            raise IntrospectionError(f"{name} has the unknown key {brief(unknown[0])}; a slice has {', '.join(PARTS)}")
        if any(part is None for part in value.values()):
            raise IntrospectionError(f"{name} has a part that is null; leave it out instead")
        return checked(slice(*(value.get(part) for part in PARTS)), name)
    if type(value) is int or (isinstance(value, list) and all(type(each) is int for each in value)):
        return checked(value, name)
    raise IntrospectionError(
        f"{name} is {brief(value)}; it must be a whole number, a list of whole numbers, or an object with "
        f"{', '.join(PARTS)}"
    )


def source(selector: Selector) -> str:
    """Python that gives the selector."""
    if isinstance(selector, slice):
        parts = slice_parts(selector)
        return f"slice{parts if parts[2] is not None else parts[:2]!r}"
    return repr(selector)
