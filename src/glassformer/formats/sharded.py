"""A model's weights from one safetensors file or from the shards that `model.safetensors.index.json` names.

The index (https://huggingface.co/docs/safetensors, "Sharded checkpoints") is an object whose `weight_map` gives, for
every tensor, the file beside it that holds the tensor.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from glassformer.formats.dtypes import Array
from glassformer.formats.safetensors import SafetensorsError, SafetensorsFile, TensorNotFoundError, open_safetensors
from glassformer.formats.strict_json import JsonError, brief, read_object

SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
PACKED_FORMAT = "glassformer-packed"
"""The metadata's `format` of files whose tensors lie as our kernels read them; see docs/quantized-format.md."""

MAX_INDEX_BYTES = 100_000_000
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".msgpack", ".h5", ".onnx")


def open_weights(path: str | os.PathLike[str]) -> "Weights":
    """Open the weights in a model's folder (see `weights_file`), or one safetensors file or index itself.

    Raises:
        SafetensorsError: no weights there; a file or the index departs from its format; an index that points
            outside its folder, at a missing shard, or disagrees with what the shards hold.
    """
    place = Path(path)
    if place.is_dir():
        place = weights_file(place)
    if place.name.endswith(".index.json"):
        return _open_shards(place)
    return Weights(place, [open_safetensors(place)])


class Weights(Mapping[str, Array]):
    """The tensors of one or more files by name; the methods are those of `SafetensorsFile`, over all of them."""

    def __init__(self, path: Path, files: Iterable[SafetensorsFile]) -> None:
        self.path = path
        self.files = tuple(files)
        self._home = {name: file for file in self.files for name in file}

    @property
    def metadata(self) -> dict[str, str]:
        """The free metadata of all files; where they differ, the first file's."""
        merged: dict[str, str] = {}
        for file in reversed(self.files):
            merged |= file.metadata
        return merged

    @property
    def is_packed(self) -> bool:
        """Whether the tensors are packed for our kernels, in whatever layout."""
        return self.metadata.get("format") == PACKED_FORMAT

    def __getitem__(self, name: str) -> Array:
        return self._file(name)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._home)

    def __len__(self) -> int:
        return len(self._home)

    def __contains__(self, name: object) -> bool:
        return name in self._home

    def dtype(self, name: str) -> str:
        """The tensor's element type as the format names it, such as "BF16"."""
        return self._file(name).dtype(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape in elements."""
        return self._file(name).shape(name)

    def nbytes(self, name: str) -> int:
        """Bytes that the tensor takes in its file."""
        return self._file(name).nbytes(name)

    def raw(self, name: str) -> Array:
        """The stored codes, unconverted; see `SafetensorsFile.raw`."""
        return self._file(name).raw(name)

    def blocks(self, name: str, max_bytes: int = 8 << 20) -> Iterator[tuple[int, Array]]:
        """The stored codes in blocks of rows whose pages are given back; see `SafetensorsFile.blocks`."""
        return self._file(name).blocks(name, max_bytes)

    def release(self, name: str | None = None) -> None:
        """Give the mapped pages of one tensor, or of all files, back to the system."""
        if name is not None:
            self._file(name).release(name)
            return
        for file in self.files:
            file.release()

    def fetch(self) -> Iterator[int]:
        """Have the system read all files and map them, to be used in place; gives the bytes done so far."""
        before = 0
        for file in self.files:
            done = 0
            for done in file.fetch():
                yield before + done
            before += done

    def close(self) -> None:
        """Close all files. Arrays taken from them stay valid."""
        for file in self.files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Weights({str(self.path)!r}, {len(self)} tensors in {len(self.files)} files)"

    def _file(self, name: str) -> SafetensorsFile:
        if name in self._home:
            return self._home[name]
        if len(self.files) == 1:
            self.files[0].shape(name)  # raises, with the names that come near
        raise TensorNotFoundError(f"{self.path}: no tensor {brief(name)} among its {len(self)}")


def weights_file(folder: str | os.PathLike[str]) -> Path:
    """The file that holds or lists a folder's weights: `model.safetensors`, its index, or the one safetensors file.

    Raises:
        SafetensorsError: there is none, or several that might be meant.
    """
    place = Path(folder)
    for name in (SINGLE_NAME, INDEX_NAME):
        if (place / name).exists():
            return place / name
    found = sorted(each.name for each in place.iterdir()) if place.is_dir() else []
    loose = [name for name in found if name.endswith(".safetensors")]
    if len(loose) == 1:
        return place / loose[0]
    others = loose or [name for name in found if name.endswith(_OTHER_WEIGHTS)]
    cure = "leave one, or rename it" if loose else "convert it to safetensors" if others else "is it a model's folder?"
    raise SafetensorsError(f"{place}: expected {SINGLE_NAME} or {INDEX_NAME}; found {brief(others or found)}; {cure}")


def read_weight_map(index: Path) -> dict[str, str]:
    """The index's map of tensor names to plain names of files beside it.

    Raises:
        SafetensorsError: the index is not JSON, has no such map, or names anything but files in its own folder.
    """
    try:
        weight_map = read_object(index, MAX_INDEX_BYTES).get("weight_map")
    except JsonError as error:
        raise SafetensorsError(f"{index}: {error}") from None
    if not isinstance(weight_map, dict):
        raise SafetensorsError(f"{index}: found weight_map {brief(weight_map)}, expected an object of file names")
    for name, shard in weight_map.items():
        if not isinstance(shard, str):
            raise SafetensorsError(f"{index}: tensor {brief(name)}: found {brief(shard)}, expected a file name")
        if not _is_plain(shard):
            raise SafetensorsError(
                f"{index}: tensor {brief(name)}: found {brief(shard)}, expected a plain file name ending in "
                ".safetensors: shards must lie beside the index"
            )
    return weight_map


def _open_shards(index: Path) -> Weights:
    weight_map = read_weight_map(index)
    with ExitStack() as opened:
        shards: dict[str, SafetensorsFile] = {}
        for shard in dict.fromkeys(weight_map.values()):
            if not (index.parent / shard).is_file():
                raise SafetensorsError(f"{index}: the shard {brief(shard)} is missing from {index.parent}: fetch it")
            shards[shard] = opened.enter_context(open_safetensors(index.parent / shard))
        _check_homes(index, weight_map, shards)
        opened.pop_all()
        return Weights(index, shards.values())


def _is_plain(name: str) -> bool:
    """Whether a name stays in its folder on every system: no separators, drive, stream or control characters."""
    plain = name.isprintable() and not any(mark in name for mark in '/\\:*?"<>|')
    return plain and name.endswith(".safetensors") and len(name.encode()) <= 255


def _check_homes(index: Path, weight_map: Mapping[str, str], shards: Mapping[str, SafetensorsFile]) -> None:
    """Check that each tensor lies in the shard that the index names, and in no other."""
    home: dict[str, str] = {}
    for shard, file in shards.items():
        for name in file:
            if name in home:
                raise SafetensorsError(
                    f"{index}: tensor {brief(name)} is in two shards, {brief(home[name])} and {brief(shard)}"
                )
            home[name] = shard
    for name, shard in weight_map.items():
        if home.get(name) != shard:
            where = f"it is in {brief(home[name])}" if name in home else "it is in none"
            raise SafetensorsError(f"{index}: tensor {brief(name)} is absent from its shard {brief(shard)}; {where}")
