"""A head's two circuits: what it writes for what it looks at (OV), and what it looks at for what it reads (QK).

Elhage et al. (2021), "A Mathematical Framework for Transformer Circuits": a head adds pattern @ x @ W_V @ W_O to the
residual stream, and the pattern depends on x @ W_Q @ W_K^T @ x^T alone. The singular directions of both matrices are
often readable as sets of tokens (Millidge and Black, 2022, "The Singular Value Decompositions of Transformer Weight
Matrices are Highly Interpretable").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glassformer.introspect.folding import centred
from glassformer.introspect.html import table
from glassformer.introspect.networks import network_of
from glassformer.introspect.positions import numbers
from glassformer.introspect.readout import RankedTokens, embedding_products, greatest, least, logit_effects
from glassformer.introspect.results import Result
from glassformer.runtime.unpacked import columns, rows

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]

QUERIES, KEYS, VALUES = range(3)  # thirds of what `c_attn` makes


@dataclass(frozen=True, eq=False)
class Circuit:
    """A matrix [n_embd, n_embd] of low rank, in two factors.

    Attributes:
        kind: "ov" (residual stream at the key -> what is written) or "qk" (at the query -> at the key).
        layer, head: which.
        left, right: [n_embd, head_dim] and [head_dim, n_embd]; their product is the circuit.
    """

    kind: str
    layer: int
    head: int
    left: Float32
    right: Float32

    @property
    def matrix(self) -> Float32:
        """The circuit, [n_embd, n_embd]."""
        found: Float32 = self.left @ self.right
        return found

    def svd(self) -> tuple[Float32, Float32, Float32]:
        """Singular directions read [head_dim, n_embd], values [head_dim], directions written [head_dim, n_embd].

        Of the small product between the factors' orthonormal bases: the matrix itself is never made.
        """
        left_basis, left = np.linalg.qr(self.left.astype(np.float64))  # [n_embd, head_dim], [head_dim, head_dim]
        right_basis, right = np.linalg.qr(self.right.T.astype(np.float64))
        u, values, v = np.linalg.svd(left @ right.T)
        read, written = (left_basis @ u).T, v @ right_basis.T  # [head_dim, n_embd]
        return read.astype(np.float32), values.astype(np.float32), written.astype(np.float32)


@dataclass(frozen=True, eq=False)
class CircuitSVD(Result):
    """The largest singular directions of a circuit as tokens.

    A direction may be turned round together with its counterpart, so that the signs of both mean nothing alone: tokens
    that are read with a positive number lead to those that are written with a positive number.

    Attributes:
        kind, layer, head: of the circuit.
        values: singular values, largest first, [directions].
        read, written: tokens with the greatest numbers along each direction, [directions]; of "qk", those of the query
            and of the key.
        read_opposite, written_opposite: those with the lowest.
    """

    kind: str
    layer: int
    head: int
    values: Float32
    read: list[RankedTokens]
    written: list[RankedTokens]
    read_opposite: list[RankedTokens]
    written_opposite: list[RankedTokens]

    def _repr_html_(self) -> str:
        """A row for each end of each direction: what is read, and what it leads to."""
        rows = [
            [f"{value:.3f}", *(" ".join(map(repr, side.tokens)) for side in sides)]
            for value, *both in zip(
                self.values, self.read, self.written, self.read_opposite, self.written_opposite, strict=True
            )
            for sides in (both[:2], both[2:])
        ]
        names = ["query", "key"] if self.kind == "qk" else ["read", "written"]
        label = f"{self.kind.upper()} circuit of head {self.head} in layer {self.layer}"
        return table(["singular value", *names], rows, label=label)


def ov_circuit(model: TextModel, layer: int, head: int, *, folded: bool = True) -> Circuit:
    """W_V @ W_O of a head; folded: behind the weight and centring of the layer normalisation that it reads through.

    Raises:
        IntrospectionError: for a layer or head out of range.
    """
    layer, head = place_of(model, layer, head)
    width = model.config.head_dim
    matrix = network_of(model).weights.h[layer].attn_c_proj.weight
    written = rows(matrix, range(head * width, (head + 1) * width))  # [head_dim, n_embd]
    return Circuit("ov", layer, head, inputs_of_head(model, layer, head, VALUES, folded=folded), written)


def qk_circuit(model: TextModel, layer: int, head: int, *, folded: bool = True) -> Circuit:
    """W_Q @ W_K^T of a head: scores are x_query @ circuit @ x_key, but for biases and the scale.

    Raises:
        IntrospectionError: for a layer or head out of range.
    """
    layer, head = place_of(model, layer, head)
    queries, keys = (inputs_of_head(model, layer, head, part, folded=folded) for part in (QUERIES, KEYS))
    return Circuit("qk", layer, head, queries, np.ascontiguousarray(keys.T))


def inputs_of_head(model: TextModel, layer: int, head: int, part: int, *, folded: bool) -> Float32:
    """W_Q, W_K or W_V of a head: [n_embd, head_dim]."""
    config, block = model.config, network_of(model).weights.h[layer]
    first = part * config.n_embd + head * config.head_dim
    weights = columns(block.c_attn.weight, range(first, first + config.head_dim))  # [head_dim, n_embd]
    return (centred(weights * block.ln_1.weight) if folded else weights).T


def place_of(model: TextModel, layer: int, head: int) -> tuple[int, int]:
    """Layer and head from 0; negative ones count from the end."""
    (layer,), (head,) = numbers("layer", [layer], model.config.n_layer), numbers("head", [head], model.config.n_head)
    return layer, head


def circuit_svd(model: TextModel, circuit: Circuit, *, directions: int = 5, top: int = 10) -> CircuitSVD:
    """The largest singular directions of a circuit, each as the tokens that lie furthest along it.

    What is read is compared with the embeddings of tokens, what an OV circuit writes with their logits.
    """
    read, values, written = circuit.svd()
    count = max(0, min(directions, len(values)))
    reads = embedding_products(model, read[:count])  # [directions, vocab_size]
    writes = (logit_effects if circuit.kind == "ov" else embedding_products)(model, written[:count])
    sides = [[greatest(model, row, top) for row in side] for side in (reads, writes)]
    opposite = [[least(model, row, top) for row in side] for side in (reads, writes)]
    return CircuitSVD(circuit.kind, circuit.layer, circuit.head, values[:count], *sides, *opposite)
