"""Shapes of packed weights, for files that hold them; the layouts: `glassformer.kernels.pack`, `.quantize`."""

from glassformer.kernels.matmul import BLOCK
from glassformer.kernels.quantize import GROUP

__all__ = ["BLOCK", "GROUP", "code_shape", "packed_shape", "scale_shape"]


def packed_shape(inputs: int, outputs: int) -> tuple[int, int, int]:
    """Of a matrix [inputs, outputs] of one type."""
    return -(-outputs // BLOCK), inputs, BLOCK


def code_shape(inputs: int, outputs: int, bits: int) -> tuple[int, int, int, int]:
    """Of a quantised matrix's codes, in bytes; four of them hold an output's codes for 32 / bits inputs."""
    return -(-outputs // BLOCK), inputs * bits // 32, BLOCK, 4


def scale_shape(inputs: int, outputs: int) -> tuple[int, int, int]:
    """Of a quantised matrix's scales."""
    return -(-outputs // BLOCK), inputs // GROUP, BLOCK
