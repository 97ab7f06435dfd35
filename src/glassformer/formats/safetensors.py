"""Safetensors files (https://github.com/huggingface/safetensors): named arrays, mapped into memory.

    with open_safetensors("model.safetensors") as file:
        file.metadata                  # {"format": "pt"}
        file.shape("wte.weight")       # (50257, 768)
        file["wte.weight"]             # a NumPy array over the mapped file

Every file is checked whole when it opens; see `safetensors_header.parse_header`. Writing: `save_safetensors`.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from glassformer.formats.dtypes import DTYPES, Array, decode
from glassformer.formats.mapped import MapOrBytes, close_map, drop_pages, fetch_pages, map_file
from glassformer.formats.safetensors_header import Header, SafetensorsError, TensorInfo, parse_header
from glassformer.formats.safetensors_writer import save_safetensors
from glassformer.formats.strict_json import brief

__all__ = ["SafetensorsError", "SafetensorsFile", "TensorNotFoundError", "open_safetensors", "save_safetensors"]


class TensorNotFoundError(SafetensorsError, KeyError):
    """A name that the file does not hold; a `KeyError` too, as every mapping raises it."""

    __str__ = Exception.__str__  # KeyError would show the message in quotes


def open_safetensors(path: str | os.PathLike[str]) -> "SafetensorsFile":
    """Open and check a safetensors file.

    Raises:
        SafetensorsError: the file is missing, unreadable, or departs from the format in any way.
    """
    place = Path(path)
    try:
        data = map_file(place)
    except OSError as error:
        raise SafetensorsError(f"{place}: cannot open it: {error.strerror or error}") from None
    try:
        header = parse_header(data, str(place))
    except SafetensorsError:
        close_map(data)
        raise
    return SafetensorsFile(place, data, header)


class SafetensorsFile(Mapping[str, Array]):
    """The tensors of one open file by name, in the order of their bytes.

    `file[name]` is an array to compute with, read-only: BF16 and 8-bit floats become a float32 copy, exactly; every
    other type is a view of the mapped file (a copy only where the file places it off its own alignment). Types under
    8 bits have no NumPy type: they come as their packed bytes, uint8 [bytes].

    A context manager; arrays taken from it stay valid after `close`.
    """

    def __init__(self, path: Path, data: MapOrBytes, header: Header) -> None:
        self.path = path
        self._data: MapOrBytes | None = data
        self._header = header

    @property
    def metadata(self) -> dict[str, str]:
        """The file's free metadata; empty where it has none."""
        return dict(self._header.metadata)

    def __getitem__(self, name: str) -> Array:
        values = decode(self.raw(name), self._info(name).dtype)
        values.flags.writeable = False
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._header.tensors)

    def __len__(self) -> int:
        return len(self._header.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._header.tensors

    def dtype(self, name: str) -> str:
        """The tensor's element type as the format names it, such as "BF16"."""
        return self._info(name).dtype

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape in elements."""
        return self._info(name).shape

    def nbytes(self, name: str) -> int:
        """Bytes that the tensor takes in the file."""
        info = self._info(name)
        return info.end - info.begin

    def raw(self, name: str) -> Array:
        """The stored codes, unconverted and read-only: BF16 as uint16, 8-bit floats as uint8, packed types as uint8
        [bytes], all others as the NumPy type of that name.

        Raises:
            SafetensorsError: NumPy cannot hold the shape (over 64 dimensions, or one beyond its index range).
        """
        return _aligned(self._view(name))

    def blocks(self, name: str, max_bytes: int = 8 << 20) -> Iterator[tuple[int, Array]]:
        """The stored codes in blocks of whole rows: (index of the first row, codes [rows, ...]).

        A block has at most `max_bytes`, or one row. Its pages are given back when the next is asked for, so that
        converting a tensor of any size takes little memory beyond the result.
        """
        info = self._info(name)
        rows = np.atleast_1d(self._view(name))
        row_bytes = max(1, rows.nbytes // max(1, len(rows)))
        step = max(1, max_bytes // row_bytes)
        for first in range(0, len(rows), step):
            yield first, _aligned(rows[first : first + step])
            self._drop(info.begin + first * row_bytes, info.begin + (first + step) * row_bytes)

    def release(self, name: str | None = None) -> None:
        """Give the mapped pages of one tensor, or of the whole file, back to the system; reading maps them anew."""
        infos = self._header.tensors.values() if name is None else [self._info(name)]
        for info in infos:
            self._drop(info.begin, info.end)

    def fetch(self) -> Iterator[int]:
        """Have the system read the whole file and map it, to be used in place; gives the bytes done so far."""
        if self._data is not None:
            yield from fetch_pages(self._data)

    def close(self) -> None:
        """Close the file. Arrays taken from it stay valid; the map goes with the last of them."""
        if self._data is not None:
            data, self._data = self._data, None
            close_map(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SafetensorsFile({str(self.path)!r}, {len(self)} tensors)"

    def _info(self, name: str) -> TensorInfo:
        try:
            return self._header.tensors[name]
        except KeyError:
            raise TensorNotFoundError(f"{self.path}: no tensor {brief(name)}{_suggest(name, list(self))}") from None

    def _view(self, name: str) -> Array:
        """The stored codes where they lie, aligned or not."""
        info = self._info(name)
        if self._data is None:
            raise SafetensorsError(f"{self.path}: the file is closed")
        dtype = DTYPES[info.dtype]
        size = info.end - info.begin
        shape = (size,) if dtype.packed else info.shape
        try:
            if size == 0:
                return np.empty(shape, dtype.storage)
            start = self._header.data_start + info.begin
            return np.frombuffer(self._data, dtype.storage, size // dtype.storage.itemsize, start).reshape(shape)
        except (ValueError, OverflowError) as error:
            found = f"shape {brief(list(info.shape))} of {info.dtype}"
            raise SafetensorsError(f"{self.path}: tensor {brief(name)}: NumPy cannot hold {found}: {error}") from None

    def _drop(self, begin: int, end: int) -> None:
        if self._data is not None:
            start = self._header.data_start
            drop_pages(self._data, start + begin, start + end)


def _aligned(codes: Array) -> Array:
    """The codes, read-only, copied if unaligned: compiled kernels may load whole aligned elements."""
    codes = np.require(codes, requirements="A")
    codes.flags.writeable = False
    return codes


def _suggest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(str(name), names[:5000], n=3)
    return f"; near it: {', '.join(brief(each) for each in near)}" if near else f" among its {len(names)} tensors"
