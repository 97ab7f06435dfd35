"""Arrays that interventions carry: checked where they come in, and written as JSON and as Python."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from glassformer.formats.strict_json import brief
from glassformer.introspect.errors import IntrospectionError

Float32 = npt.NDArray[np.float32]

MOST_AXES = 4
SHORT = 16  # numbers that are written out in Python; more of them are encoded
DIMENSION = 1 << 31


def checked(value: object, name: str) -> Float32:
    """An array of our own, float32, which nobody can write.

    Raises:
        IntrospectionError: if it is no array of finite numbers, is empty, or has too many axes.
    """
    try:
        array = np.array(value)
    except (ValueError, TypeError):
        raise IntrospectionError(f"{name} is {brief(value)}; it must be a number or an array of numbers") from None
    if array.dtype.kind not in "iuf":
        raise IntrospectionError(f"{name} is of dtype {array.dtype}; it must be a number or an array of numbers")
    if array.size == 0 or array.ndim > MOST_AXES:
        raise IntrospectionError(f"{name} has shape {array.shape}; it must have numbers, and at most {MOST_AXES} axes")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32).reshape(array.shape)
    if not np.isfinite(array).all():
        raise IntrospectionError(f"{name} holds a number that is not finite in float32; -1e9 masks a score as well")
    array.flags.writeable = False
    return array


def checked_number(value: object, name: str) -> float:
    """A finite number of float32's range.

    Raises:
        IntrospectionError: for anything else.
    """
    array = checked(value, name)
    if array.ndim:
        raise IntrospectionError(f"{name} has shape {array.shape}; it must be one number")
    return float(array)


def as_json(array: Float32) -> object:
    """A number, or an object with `shape` and the little-endian float32 numbers in base64."""
    if array.ndim == 0:
        return float(array)
    return {"shape": list(array.shape), "float32": encoded(array)}


def encoded(array: Float32) -> str:
    """The numbers in C order, little-endian, in base64 (RFC 4648)."""
    return base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")


def from_json(value: object, name: str) -> Float32:
    """The array that a value of JSON means.

    Raises:
        IntrospectionError: for anything that `as_json` does not give.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return checked(float(value), name)
        except OverflowError:
            raise IntrospectionError(f"{name} is {brief(value)}, which float32 cannot hold") from None
    if not isinstance(value, Mapping):
        raise IntrospectionError(f"{name} is {brief(value)}; it must be a number or an object with shape and float32")
    if set(value) != {"shape", "float32"}:
        raise IntrospectionError(f"{name} has the keys {brief(sorted(value))}; an array has shape and float32")
    shape, text = value["shape"], value["float32"]
    right = isinstance(shape, list) and 1 <= len(shape) <= MOST_AXES
    if not right or not all(type(size) is int and 0 < size < DIMENSION for size in shape):
        raise IntrospectionError(
            f"{name} has shape {brief(shape)}; it must be 1 to {MOST_AXES} whole numbers from 1 on"
        )
    if not isinstance(text, str):
        raise IntrospectionError(f"{name} has float32 {brief(text)}; it must be text in base64")
    return decoded(text, tuple(shape), name)


def decoded(text: str, shape: tuple[int, ...], name: str = "the array") -> Float32:
    """The array of a shape whose numbers `encoded` wrote.

    Raises:
        IntrospectionError: for text that is not base64, or not of as many numbers as the shape says.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntrospectionError(f"{name} is not base64: {error}") from None
    if len(data) != 4 * math.prod(shape):
        raise IntrospectionError(
            f"{name} holds {len(data):,} bytes, and shape {brief(list(shape))} needs {4 * math.prod(shape):,}"
        )
    return checked(np.frombuffer(data, "<f4").reshape(shape), name)


def source(array: Float32) -> str:
    """Python that gives the array: a number or lists, or a call of `decoded` where these would be long."""
    if array.size > SHORT:
        return f"decoded({encoded(array)!r}, {array.shape!r})"
    return repr(array.tolist())
