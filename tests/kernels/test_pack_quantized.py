"""Codes and scales of eight and four bits against a twin in NumPy, bit for bit, from every type and either layout."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.kernels.pack_quantized import CANDIDATES
from glassformer.runtime.executor import Eager
from glassformer.runtime.quantized import quantize_parts
from glassformer.simd.target import runnable_targets
from glassformer.simd.types import bf16, f16, f32, f64

GROUP, BLOCK = 32, 64
KINDS: dict[Any, Any] = {f32: np.float32, f16: np.float16, f64: np.float64}


def weights(inputs: int, outputs: int) -> npt.NDArray[np.float32]:
    """Numbers of many sizes, with a column of zeros and one of a single spike."""
    random = np.random.default_rng((inputs, outputs))
    x = (random.standard_normal((inputs, outputs)) * 10.0 ** random.integers(-4, 2, outputs)).astype(np.float32)
    x[:, 0] = 0
    x[:, outputs // 2] = 0
    x[inputs - 1, outputs // 2] = -3.0
    return x


def inverse_of(scale: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    wide = scale.astype(np.float32)
    return np.divide(np.float32(1), wide, out=np.zeros_like(wide), where=wide != 0)


def codes_of(x: npt.NDArray[np.float32], scale: npt.NDArray[Any], bits: int) -> npt.NDArray[np.float32]:
    low, high = (-127, 127) if bits == 8 else (-8, 7)
    return np.clip(np.rint(x * inverse_of(scale)), np.float32(low), np.float32(high))


def scale_of(x: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.float16]:
    """Scales of groups [32, outputs]."""
    largest = np.take_along_axis(x, np.abs(x).argmax(0)[None], 0)[0]  # with its sign
    if bits == 8:
        return (np.abs(largest) / np.float32(127)).astype(np.float16)
    best, chosen = np.full(x.shape[1], np.inf, np.float32), np.zeros(x.shape[1], np.float16)
    for attempt in range(CANDIDATES):
        trial = (largest / np.float32(-7 - attempt * 0.25)).astype(np.float16)
        error = np.zeros(x.shape[1], np.float32)
        for row in x:
            off = codes_of(row, trial, 4) * trial.astype(np.float32) - row
            error = fused(off, off, error)  # as the kernel's fma
        chosen = np.where(error < best, trial, chosen)
        best = np.minimum(best, error)
    return chosen


def fused(a: Any, b: Any, c: Any) -> npt.NDArray[np.float32]:
    """a * b + c rounded once: a product of two float32 is exact in float64 (and so nearly is the sum)."""
    return np.asarray(a.astype(np.float64) * b + c, np.float32)


def twin(x: npt.NDArray[np.float32], bits: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Codes and scales in the documented layout of x [inputs, outputs]."""
    inputs, outputs = x.shape
    blocks = -(-outputs // BLOCK)
    wide = np.zeros((inputs, blocks * BLOCK), np.float32)
    wide[:, :outputs] = x
    scales = np.stack([scale_of(group, bits) for group in wide.reshape(-1, GROUP, blocks * BLOCK)])
    codes = codes_of(wide, np.repeat(scales, GROUP, axis=0), bits) + 2 ** (bits - 1)
    byte = codes.astype(np.uint8)
    if bits == 4:
        halves = byte.reshape(inputs // 8, 2, 4, -1)
        byte = (halves[:, 0] | halves[:, 1] << 4).reshape(inputs // 2, -1)
    packed = byte.reshape(-1, 4, blocks, BLOCK).transpose(2, 0, 3, 1)  # [blocks, quadruples, 64, 4]
    return packed.reshape(-1), scales.reshape(-1, blocks, BLOCK).transpose(1, 0, 2).reshape(-1)


def stored(x: npt.NDArray[np.float32], kind: Any) -> npt.NDArray[Any]:
    """The numbers as a file holds them; bf16 cut to its upper half."""
    return (x.view(np.uint32) >> 16).astype(np.uint16) if kind is bf16 else x.astype(KINDS[kind])


def read_back(array: npt.NDArray[Any], kind: Any) -> npt.NDArray[np.float32]:
    return (array.astype(np.uint32) << 16).view(np.float32) if kind is bf16 else array.astype(np.float32)


LEVELS = [(f32, target) for target in runnable_targets()]
TYPES = [(kind, None) for kind in (f16, bf16, f64)]  # at the best level here


@pytest.mark.parametrize(("kind", "target"), LEVELS + TYPES, ids=lambda x: str(getattr(x, "name", x)))
@pytest.mark.parametrize("bits", [8, 4])
def test_codes_and_scales_are_those_of_the_twin(bits: int, kind: Any, target: str | None) -> None:
    executor = Eager(2, target=target)
    for inputs, outputs in ((32, 1), (64, 64), (96, 77), (32, 130)):
        array = stored(weights(inputs, outputs), kind)
        codes, scales = twin(read_back(array, kind), bits)
        for transposed in (False, True):
            source = np.ascontiguousarray(array.T) if transposed else array
            made = quantize_parts(executor, [(0, source)], source.shape, kind, "w", bits=bits, transposed=transposed)
            assert np.array_equal(made.scales, scales)
            assert np.array_equal(made.codes, codes)
