"""What happens to a matrix product before it is written for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glassformer.kernels.activation import identity
from glassformer.runtime.arrays import Float32, ShapeError
from glassformer.simd import Kernel


@dataclass(frozen=True, eq=False)
class Epilogue:
    """y + bias, then the activation of that, then residual + that: the bits of the separate operations.

    bias: [outputs]; residual: as the product.
    """

    bias: Float32 | None = None
    activation: Kernel = identity
    residual: Float32 | None = None

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What a kernel is given: each array, and whether it is there."""
        return self.bias, int(self.bias is not None), self.residual, int(self.residual is not None)

    def check(self, rows: int, weight: tuple[int, int]) -> None:
        """Refuse a bias or residual that does not fit the product of so many rows with a weight (inputs, outputs)."""
        outputs = weight[1]
        if self.bias is not None and self.bias.shape != (outputs,):
            raise ShapeError(f"linear: bias {self.bias.shape} meets a weight {weight}; expected bias ({outputs},)")
        if self.residual is not None and self.residual.shape != (rows, outputs):
            raise ShapeError(f"linear: residual {self.residual.shape} meets a product ({rows}, {outputs})")
