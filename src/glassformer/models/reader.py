"""Takes tensors out of files one by one, each into memory of our own in the layout that it is used in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.formats.sharded import Weights as WeightFiles
from glassformer.models.config import GPT2Config, expected_tensors
from glassformer.models.weights import Block, Linear, Matrix, Norm, Weights
from glassformer.runtime.engine import Ops
from glassformer.runtime.memory import Arena, Room, aligned
from glassformer.runtime.packed import (
    KINDS,
    PAIRED,
    QUANTIZED,
    Table,
    convert_array,
    held_kind,
    pack_parts,
    part_bytes,
    stored_kind,
)
from glassformer.runtime.paired import pair_matrix
from glassformer.runtime.quantized import quantize_parts

Progress = Callable[[int, int], None]
"""Told how many bytes of the weights have been read so far, and how many there are."""

Held = Matrix | Table | npt.NDArray[Any]
Parts = Iterator[tuple[int, npt.NDArray[Any]]]

SHARED = 16 << 20  # bytes of weights that lie in an arena
# [vocab_size, n_embd], while Conv1D's matrices are [inputs, outputs] already.
TRANSPOSED = ("wte.weight", "lm_head.weight")


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is packed for products; the position table is only looked up in."""
    return len(shape) == 2 and name != "wpe.weight"


def matrix_bits(name: str, dtype: str) -> int:
    """Bits of a quantised matrix. The embedding is looked up in, and the head decides between all words: both stay at
    eight.
    """
    return 8 if name in TRANSPOSED else QUANTIZED[dtype]


def table_kind(dtype: str, stored: Any) -> Any:
    """The type that the position table is held in: its own where the matrices are quantised."""
    return held_kind("auto" if dtype in QUANTIZED else dtype, stored)


def by_size(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The names of tensors, the largest first: little else is held while they are read, so the peak stays low."""
    return sorted(shapes, key=lambda n: -int(np.prod(shapes[n], dtype=np.int64)))


def assemble(config: GPT2Config, taken: Mapping[str, Any]) -> Weights:
    """The weights of a network from its tensors by their own names."""

    def linear(name: str) -> Linear:
        return Linear(taken[name + ".weight"], taken[name + ".bias"])

    def norm(name: str) -> Norm:
        return Norm(taken[name + ".weight"], taken[name + ".bias"])

    def block(at: str) -> Block:
        return Block(
            norm(at + "ln_1"), linear(at + "attn.c_attn"), linear(at + "attn.c_proj"),
            norm(at + "ln_2"), linear(at + "mlp.c_fc"), linear(at + "mlp.c_proj"),
        )  # fmt: skip

    head = "wte.weight" if config.tie_word_embeddings else "lm_head.weight"
    blocks = tuple(block(f"h.{layer}.") for layer in range(config.n_layer))
    return Weights(taken["wte.weight"], taken["wpe.weight"], blocks, norm("ln_f"), taken[head])


class Reader:
    """Reads the tensors of one model; `names` are those in the files by the architecture's own."""

    def __init__(
        self, files: WeightFiles, names: Mapping[str, str], dtype: str, ops: Ops, progress: Progress | None = None
    ) -> None:
        self.files, self.names, self.dtype, self.executor = files, names, dtype, ops.executor
        self.progress = progress
        self.room: Room = aligned
        self.done, self.total = 0, sum(files.nbytes(name) for name in names.values())

    def read(self, config: GPT2Config) -> Weights:
        """All weights, in memory that they share, but for models that are small enough for caches."""
        if self.total >= SHARED:
            self.room = Arena().aligned
        return assemble(config, {name: self.tensor(name) for name in by_size(expected_tensors(config))})

    def tensor(self, name: str) -> Held:
        """One tensor: matrices packed, the position table as it is, vectors as f32. Its mapped pages are given back."""
        stored_name = self.names[name]
        stored = stored_kind(self.files.dtype(stored_name), stored_name)
        shape = self.files.shape(stored_name)
        if is_matrix(name, shape):
            return self.matrix(name, stored, (shape[0], shape[1]))
        source = np.ascontiguousarray(self.files.raw(stored_name))
        try:
            if source.ndim == 1:
                return convert_array(self.executor, source, stored, KINDS["f32"], self.room)
            held = table_kind(self.dtype, stored)
            return Table(convert_array(self.executor, source, stored, held, self.room), held, *source.shape)
        finally:
            self.files.release(stored_name)
            self.tell(source.nbytes)

    def matrix(self, name: str, stored: Any, shape: tuple[int, int]) -> Matrix:
        """A matrix packed or quantised, part by part."""
        stored_name = self.names[name]
        transposed = name in TRANSPOSED
        whole = self.dtype in QUANTIZED and not transposed
        size = self.files.nbytes(stored_name) if whole else part_bytes(shape, stored)
        parts = self.told(self.files.blocks(stored_name, size))
        if self.dtype in QUANTIZED:
            bits = matrix_bits(name, self.dtype)
            return quantize_parts(
                self.executor, parts, shape, stored, name, bits=bits, transposed=transposed, room=self.room
            )
        held = held_kind(self.dtype, stored)
        packed = pack_parts(self.executor, parts, shape, stored, held, transposed=transposed, room=self.room)
        # The embedding is looked up in, and the head decides between all words: both keep f32 activations.
        return pair_matrix(self.executor, packed, name) if self.dtype == PAIRED and not transposed else packed

    def told(self, parts: Parts) -> Parts:
        """The same parts; each is reported once it is done with."""
        for first, rows in parts:
            yield first, rows
            self.tell(rows.nbytes)

    def tell(self, size: int) -> None:
        """Report so many bytes more."""
        self.done += size
        if self.progress is not None:
            self.progress(self.done, self.total)
