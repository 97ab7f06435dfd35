"""The element types of safetensors: their size, how NumPy stores them, and what 8- and 16-bit codes mean.

Formats: bfloat16 is the upper half of binary32. The 8-bit floats follow "OCP 8-bit Floating Point Specification
(OFP8) 1.0" (E4M3, E5M2), the "OCP Microscaling Formats (MX) 1.0" (E8M0) and "8-bit Numerical Formats for Deep Neural
Networks" (arXiv:2206.02915) for the FNUZ variants.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DType:
    """One element type: its name in the file, bits per element, and the NumPy type that holds the stored codes.

    Types under 8 bits are stored packed: `storage` is then uint8, and a byte holds parts of several elements.
    """

    name: str
    bits: int
    storage: np.dtype[np.generic]

    @property
    def packed(self) -> bool:
        """Whether elements are smaller than a byte."""
        return self.bits < 8

    @property
    def native(self) -> bool:
        """Whether NumPy has this very type, so that stored codes are values."""
        return _NUMPY_NAMES.get(self.storage.newbyteorder("=")) == self.name


# In the order of the reference's enumeration, by which its writer sorts.
_TABLE = (
    ("BOOL", 8, "?"),
    ("F4", 4, "u1"),
    ("F6_E2M3", 6, "u1"),
    ("F6_E3M2", 6, "u1"),
    ("U8", 8, "u1"),
    ("I8", 8, "i1"),
    ("F8_E5M2", 8, "u1"),
    ("F8_E4M3", 8, "u1"),
    ("F8_E8M0", 8, "u1"),
    ("F8_E4M3FNUZ", 8, "u1"),
    ("F8_E5M2FNUZ", 8, "u1"),
    ("I16", 16, "<i2"),
    ("U16", 16, "<u2"),
    ("F16", 16, "<f2"),
    ("BF16", 16, "<u2"),
    ("I32", 32, "<i4"),
    ("U32", 32, "<u4"),
    ("F32", 32, "<f4"),
    ("C64", 64, "<c8"),
    ("F64", 64, "<f8"),
    ("I64", 64, "<i8"),
    ("U64", 64, "<u8"),
)
DTYPES: dict[str, DType] = {name: DType(name, bits, np.dtype(code)) for name, bits, code in _TABLE}
"""Every type of the format by name, ordered as the reference orders them (alignment never falls)."""

_NUMPY_NAMES: dict[np.dtype[np.generic], str] = {
    np.dtype(code).newbyteorder("="): name
    for name, _, code in _TABLE
    if name in {"BOOL", "U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "C64", "F64", "I64", "U64"}
}


def name_of(dtype: np.dtype[np.generic]) -> str | None:
    """The format's name for a NumPy type of either byte order, or None where the format has none."""
    return _NUMPY_NAMES.get(dtype.newbyteorder("="))


def bfloat16_to_float32(codes: npt.NDArray[np.uint16]) -> Float32:
    """bfloat16 codes [...] as float32 [...], exact: NaN payloads, infinities and subnormals included."""
    wide = codes.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def float8_to_float32(codes: npt.NDArray[np.uint8], name: str) -> Float32:
    """8-bit float codes [...] of the type `name` (F8_...) as float32 [...], exact."""
    values: Float32 = _float8_table(name)[codes]
    return values


def decode(codes: Array, name: str) -> Array:
    """Stored codes [...] as values [...]: float32 for BF16 and the 8-bit floats, otherwise the codes themselves.

    Bytes other than 0 and 1 in a BOOL tensor are true, as in C; NumPy's own booleans may hold nothing else.
    """
    if name == "BF16":
        return bfloat16_to_float32(codes.view(np.uint16))
    if name.startswith("F8_"):
        return float8_to_float32(codes.view(np.uint8), name)
    if name == "BOOL" and codes.size and codes.view(np.uint8).max() > 1:
        return np.not_equal(codes.view(np.uint8), 0)
    return codes


@cache
def _float8_table(name: str) -> Float32:
    """The 256 values of an 8-bit float type."""
    if name == "F8_E8M0":
        exponents = np.arange(256, dtype=np.float64) - 127
        values = np.exp2(exponents)
        values[255] = np.nan
        return values.astype(np.float32)
    mantissa_bits = 3 if "E4M3" in name else 2
    unsigned_zero = name.endswith("FNUZ")
    bias = (1 << (6 - mantissa_bits)) - (0 if unsigned_zero else 1)
    values = _minifloats(mantissa_bits, bias)
    if unsigned_zero:
        values[0x80] = np.nan  # where minus zero would be stands the one NaN
    elif name == "F8_E4M3":
        values[[0x7F, 0xFF]] = np.nan
    else:
        values[[0x7C, 0xFC]] = np.inf, -np.inf
        values[[0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]] = np.nan
    return values.astype(np.float32)


def _minifloats(mantissa_bits: int, bias: int) -> npt.NDArray[np.float64]:
    """Sign, exponent and mantissa of every byte as a number, without special codes; float64 [256]."""
    codes = np.arange(256)
    mantissa = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    exponent = (codes & 0x7F) >> mantissa_bits
    normal = np.exp2(exponent - float(bias)) * (1 + mantissa)
    subnormal = np.exp2(1.0 - bias) * mantissa
    values: npt.NDArray[np.float64] = np.where(exponent == 0, subnormal, normal)
    values[128:] *= -1
    return values
