"""A model's weights, by the checkpoint's names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.runtime.packed import PackedMatrix, Table
from glassformer.runtime.quantized import QuantizedMatrix

Float32 = npt.NDArray[np.float32]
Matrix = PackedMatrix | QuantizedMatrix


@dataclass(frozen=True, eq=False)
class Linear:
    """weight: [inputs, outputs], bias: [outputs]."""

    weight: Matrix
    bias: Float32


@dataclass(frozen=True, eq=False)
class Norm:
    """weight, bias: [n_embd]."""

    weight: Float32
    bias: Float32


@dataclass(frozen=True, eq=False)
class Block:
    """The weights of one layer, by the checkpoint's names."""

    ln_1: Norm
    c_attn: Linear  # n_embd -> q, k, v
    attn_c_proj: Linear  # n_embd -> n_embd
    ln_2: Norm
    c_fc: Linear  # n_embd -> n_inner
    mlp_c_proj: Linear  # n_inner -> n_embd


@dataclass(frozen=True, eq=False)
class Weights:
    """All weights; `wte` is packed as [n_embd, vocab_size] and serves as the head where the two are tied."""

    wte: Matrix
    wpe: Table
    h: tuple[Block, ...]
    ln_f: Norm
    lm_head: Matrix

    @property
    def nbytes(self) -> int:
        """Bytes held, a tied head counted once."""
        linears = [p for b in self.h for p in (b.c_attn, b.attn_c_proj, b.c_fc, b.mlp_c_proj)]
        norms = [self.ln_f, *(n for b in self.h for n in (b.ln_1, b.ln_2))]
        head = 0 if self.lm_head is self.wte else self.lm_head.nbytes
        small = sum(p.bias.nbytes for p in linears) + sum(n.weight.nbytes + n.bias.nbytes for n in norms)
        return self.wte.nbytes + self.wpe.nbytes + head + small + sum(p.weight.nbytes for p in linears)
