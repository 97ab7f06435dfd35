"""Write safetensors files: whole or not at all, laid out as the reference writer does."""

import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from glassformer.formats.dtypes import DTYPES, Array, name_of
from glassformer.formats.safetensors_header import MAX_HEADER_BYTES, METADATA_KEY, SafetensorsError
from glassformer.formats.strict_json import brief

_ORDER = {name: index for index, name in enumerate(DTYPES)}
_ALIGNMENT = 8


@dataclass(frozen=True)
class Declared:
    """A tensor before its numbers are there: name, the format's type, shape in elements."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in the file."""
        return math.prod(self.shape) * DTYPES[self.dtype].bits // 8


@dataclass(frozen=True)
class _Entry(Declared):
    array: Array


def save_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Array],
    metadata: Mapping[str, str] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays of any shape, byte order and layout to a safetensors file.

    The file is written aside, flushed to the disk and then renamed, so `path` always holds the old file or the whole
    new one. Tensors are ordered by falling element size, then by name, so each is aligned to its elements.

    Args:
        path: the file to write or replace.
        tensors: arrays by name.
        metadata: free strings by key.
        dtypes: the format's types for arrays that hold codes: "BF16" for uint16, "F8_..." for uint8; types under
            8 bits for uint8 whose last dimension is packed.

    Raises:
        SafetensorsError: a name, type or metadata value that the format cannot hold, or the disk refuses.
    """
    place = Path(path)
    overrides = dict(dtypes or {})
    unknown = sorted(set(overrides) - set(tensors))
    if unknown:
        raise SafetensorsError(f"{place}: dtypes names {brief(unknown[0])}, which is not among the tensors")
    entries = [_entry(name, array, overrides.get(name), place) for name, array in tensors.items()]
    entries.sort(key=lambda entry: (-_ORDER[entry.dtype], entry.name))
    header = _header(entries, _checked_metadata(metadata, place), place, _ALIGNMENT)
    _write_aside(place, header, (entry.array for entry in entries))


def stream_safetensors(
    path: str | os.PathLike[str],
    declared: Sequence[Declared],
    arrays: Iterable[Array],
    metadata: Mapping[str, str] | None = None,
    *,
    alignment: int = 64,
) -> None:
    """Write tensors that are made one at a time, whole or not at all, in the order in which they are declared.

    The first tensor begins at a multiple of `alignment` bytes in the file, and so does each whose predecessors all take
    multiples of it: declare those first. Only one array need be in memory.

    Args:
        path: the file to write or replace.
        declared: what the file will hold.
        arrays: as many arrays, each as its declaration says.
        metadata: free strings by key.
        alignment: a power of two, at least 8.

    Raises:
        SafetensorsError: a name or metadata value that the format cannot hold, an array that is not as declared, or the
            disk refuses.
    """
    place = Path(path)
    seen: set[str] = set()
    for each in declared:
        _check_name(each.name, f"{place}: tensor {brief(each.name)}")
        if each.name in seen:
            raise SafetensorsError(f"{place}: tensor {brief(each.name)} is declared twice")
        seen.add(each.name)
    header = _header(declared, _checked_metadata(metadata, place), place, alignment)
    _write_aside(place, header, _as_declared(declared, arrays, place))


def _as_declared(declared: Sequence[Declared], arrays: Iterable[Array], place: Path) -> Iterator[Array]:
    """The arrays, each held to its declaration."""
    waiting = iter(arrays)
    for each in declared:
        array = next(waiting, None)
        found = None if array is None else (array.dtype.newbyteorder("="), array.shape)
        if array is None or found != (DTYPES[each.dtype].storage.newbyteorder("="), each.shape):
            raise SafetensorsError(
                f"{place}: tensor {brief(each.name)} is declared {each.dtype} {list(each.shape)}, found {found}"
            )
        yield array
        del array  # before the next is made


def _entry(name: str, array: Array, override: str | None, place: Path) -> _Entry:
    where = f"{place}: tensor {brief(name)}"
    _check_name(name, where)
    if not isinstance(array, np.ndarray):
        raise SafetensorsError(f"{where}: found {type(array).__name__}, expected a NumPy array")
    if override is None:
        dtype = name_of(array.dtype)
        if dtype is None:
            raise SafetensorsError(f"{where}: the format has no type for NumPy's {array.dtype}; convert the array")
        return _Entry(name, dtype, array.shape, array)
    return _Entry(name, override, _logical_shape(array, override, where), array)


def _check_name(name: str, where: str) -> None:
    if not isinstance(name, str) or name == METADATA_KEY or not _encodable(name):
        raise SafetensorsError(f"{where}: a name must be a string of valid Unicode other than {METADATA_KEY}")


def _logical_shape(array: Array, dtype: str, where: str) -> tuple[int, ...]:
    """The shape in elements of an array that holds codes of the type `dtype`."""
    if dtype not in DTYPES:
        raise SafetensorsError(f"{where}: found dtype {brief(dtype)}, expected one of {', '.join(DTYPES)}")
    expected = DTYPES[dtype]
    if array.dtype.newbyteorder("=") != expected.storage.newbyteorder("="):
        raise SafetensorsError(f"{where}: {dtype} is stored as {expected.storage}, found an array of {array.dtype}")
    if not expected.packed:
        return array.shape
    if array.ndim == 0 or array.shape[-1] * 8 % expected.bits:
        raise SafetensorsError(f"{where}: last dimension of {array.shape} bytes is not whole elements of {dtype}")
    return (*array.shape[:-1], array.shape[-1] * 8 // expected.bits)


def _checked_metadata(metadata: Mapping[str, str] | None, place: Path) -> dict[str, str]:
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str) or not _encodable(key + value):
            raise SafetensorsError(f"{place}: metadata {brief(key)} is {brief(value)}, expected strings of Unicode")
    return dict(metadata or {})


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _header(entries: Iterable[Declared], metadata: dict[str, str], place: Path, alignment: int) -> bytes:
    """Length and JSON, padded with spaces so that the tensors begin at a multiple of the alignment."""
    fields: dict[str, object] = {METADATA_KEY: metadata} if metadata else {}
    offset = 0
    for entry in entries:
        end = offset + entry.nbytes
        fields[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-(8 + len(text)) % alignment)
    if len(text) > MAX_HEADER_BYTES:
        raise SafetensorsError(f"{place}: the header takes {len(text):,} bytes, expected at most {MAX_HEADER_BYTES:,}")
    return len(text).to_bytes(8, "little") + text


def _write_aside(place: Path, header: bytes, arrays: Iterable[Array]) -> None:
    aside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with aside.open("xb") as file:
                _write(file, header, arrays)
            aside.replace(place)
        finally:
            aside.unlink(missing_ok=True)
        flush_folder(place.parent)
    except OSError as error:
        raise SafetensorsError(f"{place}: cannot write it: {error.strerror or error}") from None


def _write(file: BinaryIO, header: bytes, arrays: Iterable[Array]) -> None:
    file.write(header)
    for array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        file.write(little.reshape(-1).view(np.uint8).data)
        del array, little  # before the next is made
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system lets folders be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse; the file itself is on the disk
    finally:
        os.close(handle)
