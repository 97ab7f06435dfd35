"""What codes of 8 and 16 bits mean: known values, and (parity) every code against PyTorch."""

import math

import numpy as np
import pytest

from glassformer.formats.dtypes import DTYPES, bfloat16_to_float32, decode, float8_to_float32, name_of


def value(code: int, name: str) -> float:
    return float(float8_to_float32(np.array([code], np.uint8), name)[0])


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        # From the tables of the OFP8 specification: zeros, subnormals, largest values, specials.
        ("F8_E4M3", 0x38, 1.0),
        ("F8_E4M3", 0x01, 2.0**-9),
        ("F8_E4M3", 0x07, 7 * 2.0**-9),
        ("F8_E4M3", 0x08, 2.0**-6),
        ("F8_E4M3", 0x7E, 448.0),
        ("F8_E4M3", 0xFE, -448.0),
        ("F8_E4M3", 0x7F, math.nan),
        ("F8_E5M2", 0x3C, 1.0),
        ("F8_E5M2", 0x01, 2.0**-16),
        ("F8_E5M2", 0x7B, 57344.0),
        ("F8_E5M2", 0x7C, math.inf),
        ("F8_E5M2", 0xFC, -math.inf),
        ("F8_E5M2", 0x7D, math.nan),
        ("F8_E8M0", 0x7F, 1.0),
        ("F8_E8M0", 0x00, 2.0**-127),
        ("F8_E8M0", 0xFE, 2.0**127),
        ("F8_E8M0", 0xFF, math.nan),
        ("F8_E4M3FNUZ", 0x40, 1.0),
        ("F8_E4M3FNUZ", 0x7F, 240.0),
        ("F8_E4M3FNUZ", 0x01, 2.0**-10),
        ("F8_E4M3FNUZ", 0x80, math.nan),
        ("F8_E5M2FNUZ", 0x40, 1.0),
        ("F8_E5M2FNUZ", 0x7F, 57344.0),
        ("F8_E5M2FNUZ", 0x01, 2.0**-17),
        ("F8_E5M2FNUZ", 0x80, math.nan),
    ],
)
def test_float8_known_values(name: str, code: int, expected: float) -> None:
    assert value(code, name) == expected or (math.isnan(expected) and math.isnan(value(code, name)))


@pytest.mark.parametrize(("name", "has_minus_zero"), [("F8_E4M3", True), ("F8_E5M2", True), ("F8_E4M3FNUZ", False)])
def test_float8_signs(name: str, has_minus_zero: bool) -> None:
    values = float8_to_float32(np.arange(256, dtype=np.uint8), name)
    assert math.copysign(1, values[0]) == 1
    assert (values[0x80] == 0 and np.signbit(values[0x80])) == has_minus_zero
    np.testing.assert_array_equal(values[0x81:0xFF], -values[0x01:0x7F])
    finite = values[:0x78]
    assert (np.diff(finite) > 0).all()


def test_bfloat16_is_the_upper_half_of_float32() -> None:
    codes = np.arange(65536, dtype=np.uint16)
    values = bfloat16_to_float32(codes)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.view(np.uint32) >> 16, codes)
    assert not (values.view(np.uint32) & 0xFFFF).any()
    assert bfloat16_to_float32(np.array([0x3F80, 0xC000, 0x0001], np.uint16)).tolist() == [1.0, -2.0, 2.0**-133]
    assert bfloat16_to_float32(np.zeros((2, 0, 3), np.uint16)).shape == (2, 0, 3)


def test_booleans_other_than_0_and_1_are_true() -> None:
    stored = np.array([0, 1, 2, 255], np.uint8).view(np.bool_)
    values = decode(stored, "BOOL")
    assert values.view(np.uint8).tolist() == [0, 1, 1, 1]
    clean = np.array([False, True])
    assert decode(clean, "BOOL") is clean


def test_other_types_are_left_as_they_are() -> None:
    for name, dtype in DTYPES.items():
        codes = np.ones(4, dtype.storage)
        converts = name == "BF16" or name.startswith("F8_")
        assert (decode(codes, name) is codes) == (not converts)


def test_names_of_numpy_types() -> None:
    assert {name for name in DTYPES if DTYPES[name].native} == {
        *("BOOL", "U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "C64", "F64", "I64", "U64")
    }
    for name, dtype in DTYPES.items():
        if dtype.native:
            assert name_of(dtype.storage) == name_of(dtype.storage.newbyteorder(">")) == name
    assert name_of(np.dtype(np.complex128)) is None
    assert name_of(np.dtype("U3")) is None


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name in DTYPES if name == "BF16" or name.startswith("F8_")])
def test_every_code_as_in_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    types = {
        "BF16": torch.bfloat16,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
        "F8_E8M0": torch.float8_e8m0fnu,
        "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
        "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    }
    codes = np.arange(65536, dtype=np.uint16) if name == "BF16" else np.arange(256, dtype=np.uint8)
    expected = torch.from_numpy(codes.copy()).view(types[name]).to(torch.float32).numpy()
    found = decode(codes, name)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(found.view(np.uint32)[known], expected.view(np.uint32)[known])
