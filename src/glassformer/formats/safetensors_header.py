"""The header of a safetensors file: 8 bytes of length, then JSON that places every tensor; parsed and checked.

The format: https://github.com/huggingface/safetensors#format. The checks run in a fixed order, and none of them
trusts a number before it is known to fit the file.
"""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass

from glassformer.errors import GlassformerError
from glassformer.formats.dtypes import DTYPES
from glassformer.formats.strict_json import JsonError, brief, parse_object

MAX_HEADER_BYTES = 100_000_000
METADATA_KEY = "__metadata__"
_LENGTH_BYTES = 8
_U64 = 1 << 64

# What people pass by mistake, by its first bytes.
_OTHER_KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights themselves: run `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive, probably a PyTorch checkpoint: convert it to safetensors"),
    (b"\x80\x02", "a pickle, probably a PyTorch checkpoint: convert it to safetensors"),
    (b"GGUF", "a GGUF file: convert it to safetensors"),
    (b"<!", "an HTML page, probably an error page saved by a download: fetch the file again"),
)


class SafetensorsError(GlassformerError):
    """A safetensors file that cannot be read or written; the message names the file and the tensor."""


class _ProblemError(Exception):
    """What is wrong with one tensor, before its name and its file are put in front."""


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies: its type's name, its shape, and its bytes [begin, end) after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A whole header: the file's free metadata, its tensors in the order of their bytes, and where those begin."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorInfo]
    data_start: int


def parse_header(data: bytes | mmap.mmap, where: str) -> Header:
    """Parse and check the header of a file whose whole content is `data`; `where` names it in errors.

    Raises:
        SafetensorsError: anything at all that departs from the format.
    """
    length = _header_length(data, where)
    stop = _LENGTH_BYTES + length
    try:
        fields = parse_object(bytes(data[_LENGTH_BYTES:stop]))
    except JsonError as error:
        raise SafetensorsError(f"{where}: bad header: {error}") from None
    metadata = _metadata(fields.pop(METADATA_KEY, None), where)
    tensors = _tensors(fields, where)
    end = max((info.end for info in tensors.values()), default=0)
    if stop + end != len(data):
        raise SafetensorsError(
            f"{where}: found {len(data):,} bytes, expected {stop + end:,} (8 of length, {length:,} of header, "
            f"{end:,} of tensors); {_cure(len(data) < stop + end)}"
        )
    return Header(metadata, tensors, stop)


def _cure(short: bool) -> str:
    return "the file is cut short: fetch it again" if short else "bytes follow the last tensor: the file is damaged"


def _header_length(data: bytes | mmap.mmap, where: str) -> int:
    size = len(data)
    if size < _LENGTH_BYTES:
        raise SafetensorsError(
            f"{where}: found {size} bytes, expected at least {_LENGTH_BYTES} for the header's length"
        )
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        found = f"found a header length of {length:,} bytes, expected at most {MAX_HEADER_BYTES:,}"
    elif _LENGTH_BYTES + length > size:
        found = (
            f"the header should take {length:,} bytes after the first {_LENGTH_BYTES}, but the file has {size:,} in all"
        )
    else:
        return length
    raise SafetensorsError(f"{where}: {_other_kind(data[:32]) or f'{found}; not safetensors, or cut short'}")


def _other_kind(start: bytes) -> str | None:
    return next((f"this is {kind}" for magic, kind in _OTHER_KINDS if start.startswith(magic)), None)


def _metadata(value: object, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SafetensorsError(f"{where}: {METADATA_KEY}: found {brief(value)}, expected an object of strings")
    for key, text in value.items():
        if not isinstance(text, str):
            raise SafetensorsError(f"{where}: {METADATA_KEY}: {brief(key)} is {brief(text)}, expected a string")
    return value


def _tensors(fields: Mapping[str, object], where: str) -> dict[str, TensorInfo]:
    """Every tensor of the header, checked by itself and then in its place, in the order of bytes."""
    found: dict[str, TensorInfo] = {}
    name = ""
    try:
        for name, value in fields.items():
            found[name] = _tensor_info(value)
        tensors = dict(sorted(found.items(), key=lambda item: (item[1].begin, item[1].end, item[0])))
        end = 0
        for name, info in tensors.items():  # noqa: B007  # read where the problem is named
            _check_place(info, end)
            end = info.end
    except _ProblemError as problem:  # named here, once: putting a name into words costs more than checking a tensor
        raise SafetensorsError(f"{where}: tensor {brief(name)}: {problem}") from None
    return tensors


def _tensor_info(value: object) -> TensorInfo:
    if not isinstance(value, dict):
        raise _ProblemError(f"found {brief(value)}, expected an object with dtype, shape, data_offsets")
    missing = [key for key in ("dtype", "shape", "data_offsets") if key not in value]
    if missing:
        raise _ProblemError(f"{' and '.join(missing)} missing from {brief(value)}")
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _ProblemError(f"found dtype {brief(dtype)}, expected one of {', '.join(DTYPES)}")
    shape = _sizes(value["shape"], "shape")
    offsets = _sizes(value["data_offsets"], "data_offsets")
    if len(offsets) != 2:
        raise _ProblemError(f"found {len(offsets)} data_offsets {brief(list(offsets))}, expected [begin, end]")
    return TensorInfo(dtype, shape, *offsets)


def _sizes(value: object, field: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise _ProblemError(f"{field}: found {brief(value)}, expected a list of whole numbers")
    for item in value:
        if type(item) is not int or not 0 <= item < _U64:  # `type`, because True is an int to isinstance
            raise _ProblemError(f"{field}: found {brief(item)}, expected a whole number from 0 to 2^64 - 1")
    return tuple(value)


def _check_place(info: TensorInfo, previous_end: int) -> None:
    """Check that a tensor begins where the one before ended, and spans the bytes that its shape takes."""
    offsets = f"data_offsets [{info.begin}, {info.end}]"
    if info.begin != previous_end or info.end < info.begin:
        raise _ProblemError(
            f"found {offsets}, expected them to begin at {previous_end}, where the tensor before ends, "
            "and to end no earlier"
        )
    expected = _byte_size(info)
    if info.end - info.begin != expected:
        raise _ProblemError(
            f"{offsets} span {info.end - info.begin:,} bytes, expected {expected:,} for {info.dtype} "
            f"{brief(list(info.shape))}"
        )


def _byte_size(info: TensorInfo) -> int:
    elements = 1
    for size in info.shape:
        elements *= size
        if elements >= _U64:
            break
    bits = elements * DTYPES[info.dtype].bits
    if bits >= _U64:
        raise _ProblemError(f"shape {brief(list(info.shape))} of {info.dtype} exceeds 2^64 - 1 bits")
    if bits % 8:
        raise _ProblemError(f"{brief(list(info.shape))} of {info.dtype} is {bits} bits, not whole bytes")
    return bits // 8
