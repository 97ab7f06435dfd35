"""From tensors in files to a network: names, types, layouts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from glassformer.errors import GlassformerError
from glassformer.formats.sharded import Weights as WeightFiles
from glassformer.formats.sharded import open_weights
from glassformer.models.config import GPT2Config, check_tensors, expected_tensors, read_config
from glassformer.models.gpt2 import GPT2, Block, Linear, Matrix, Norm, Weights
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.packed import (
    KINDS,
    QUANTIZED,
    Table,
    check_dtype,
    convert_array,
    held_kind,
    pack_parts,
    part_bytes,
    stored_kind,
)
from glassformer.runtime.quantized import quantize_parts

PREFIX = "transformer."
LAYER = re.compile(r"h\.(\d{1,9})\.")
# Buffers that older checkpoints carry; causality is built in here.
UNUSED = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


class LoadError(GlassformerError):
    """Weights that do not make the model that config.json describes."""


def load_network(folder: str | os.PathLike[str], *, dtype: str = "auto", threads: int | None = None) -> GPT2:
    """The network in a model's folder; `dtype` and `threads` as for `glassformer.load`."""
    config = read_config(folder)
    return read_network(folder, config, dtype=dtype, threads=threads)


def read_network(
    weights: str | os.PathLike[str], config: GPT2Config, *, dtype: str = "auto", threads: int | None = None
) -> GPT2:
    """The network that a configuration describes, from a folder or file of weights.

    Raises:
        ConfigError: tensors missing or of other shapes than the configuration says.
        WeightError: tensors of a type that weights cannot have, or an unknown `dtype`.
    """
    check_dtype(dtype)  # before any work
    ops = Ops(Eager(threads))
    with open_weights(weights) as files:
        names = own_names(files)
        config = tied_as_stored(config, files, names)
        check_layers(config, names, str(files.path))
        check_tensors(config, {own: files.shape(name) for own, name in names.items()}, str(files.path))
        return GPT2(config, Reader(files, names, dtype, ops).read(config), ops)


def own_names(files: Mapping[str, Any]) -> dict[str, str]:
    """The architecture's names (without prefix) for the names in the files; unused buffers are left out."""
    names: dict[str, str] = {}
    for name in files:
        own = name.removeprefix(PREFIX)
        if UNUSED.fullmatch(own):
            continue
        if own in names:
            raise LoadError(f"the weights hold {names[own]} and {name}, which mean the same; keep one")
        names[own] = name
    return names


def check_layers(config: GPT2Config, names: Mapping[str, Any], where: str) -> None:
    """Refuse weights of more layers than the configuration has: the rest of the model would be left out in silence."""
    layers = {int(found[1]) for name in names if (found := LAYER.match(name))}
    if layers and max(layers) >= config.n_layer:
        raise LoadError(
            f"{where}: the weights have a layer {max(layers)}, the configuration says n_layer {config.n_layer}"
        )


def tied_as_stored(config: GPT2Config, files: WeightFiles, names: dict[str, str]) -> GPT2Config:
    """The configuration with the head tied as transformers (from version 5 on) ties it.

    Where config.json ties the head to the embedding and the weights hold one of the two, it serves as both (`names`
    gets the other); where they hold both and these differ, they stay apart.
    """
    table, head = names.get("wte.weight"), names.get("lm_head.weight")
    if not config.tie_word_embeddings or head is None:
        return config
    if table is None:
        names["wte.weight"] = head
        return config
    return config if same_tensor(files, table, head) else replace(config, tie_word_embeddings=False)


def same_tensor(files: WeightFiles, a: str, b: str) -> bool:
    """Whether two tensors have one type, one shape and the same bytes; compared in parts, to take little memory."""
    if (files.dtype(a), files.shape(a)) != (files.dtype(b), files.shape(b)):
        return False
    pairs = zip(files.blocks(a), files.blocks(b), strict=True)
    return all(x.tobytes() == y.tobytes() for (_, x), (_, y) in pairs)


class Reader:
    """Takes tensors out of files one by one, each into memory of our own in the layout that it is used in."""

    def __init__(self, files: WeightFiles, names: dict[str, str], dtype: str, ops: Ops) -> None:
        self.files, self.names, self.dtype, self.executor = files, names, dtype, ops.executor
        self.taken: dict[str, Any] = {}

    def read(self, config: GPT2Config) -> Weights:
        """All weights. The largest tensors come first, while little else is held, so that the peak stays low."""
        shapes = expected_tensors(config)
        for name in sorted(shapes, key=lambda n: -int(np.prod(shapes[n], dtype=np.int64))):
            self.taken[name] = self.tensor(name)
        head = "wte.weight" if config.tie_word_embeddings else "lm_head.weight"
        blocks = tuple(self.block(f"h.{layer}.") for layer in range(config.n_layer))
        return Weights(self.taken["wte.weight"], self.taken["wpe.weight"], blocks, self.norm("ln_f"), self.taken[head])

    def block(self, at: str) -> Block:
        """The weights of one layer, whose names begin with `at`."""
        return Block(
            self.norm(at + "ln_1"), self.linear(at + "attn.c_attn"), self.linear(at + "attn.c_proj"),
            self.norm(at + "ln_2"), self.linear(at + "mlp.c_fc"), self.linear(at + "mlp.c_proj"),
        )  # fmt: skip

    def linear(self, name: str) -> Linear:
        """A matrix with its bias."""
        return Linear(self.taken[name + ".weight"], self.taken[name + ".bias"])

    def norm(self, name: str) -> Norm:
        """Scale and shift of a normalisation."""
        return Norm(self.taken[name + ".weight"], self.taken[name + ".bias"])

    def tensor(self, name: str) -> Matrix | Table | Any:
        """One tensor: matrices packed, the position table as it is, vectors as f32. Its mapped pages are given back."""
        stored_name = self.names[name]
        stored = stored_kind(self.files.dtype(stored_name), stored_name)
        shape = self.files.shape(stored_name)
        if len(shape) == 2 and name != "wpe.weight":
            return self.matrix(name, stored, (shape[0], shape[1]))
        source = np.ascontiguousarray(self.files.raw(stored_name))
        try:
            if source.ndim == 1:
                return convert_array(self.executor, source, stored, KINDS["f32"])
            held = held_kind("auto" if self.dtype in QUANTIZED else self.dtype, stored)
            return Table(convert_array(self.executor, source, stored, held), held, *source.shape)
        finally:
            self.files.release(stored_name)

    def matrix(self, name: str, stored: Any, shape: tuple[int, int]) -> Matrix:
        """A matrix packed or quantised, part by part."""
        stored_name = self.names[name]
        # The embedding and the head are [vocab_size, n_embd]; Conv1D's matrices are [inputs, outputs] already.
        transposed = name in ("wte.weight", "lm_head.weight")
        whole = self.dtype in QUANTIZED and not transposed
        parts = self.files.blocks(stored_name, self.files.nbytes(stored_name) if whole else part_bytes(shape, stored))
        if self.dtype in QUANTIZED:
            # The embedding is looked up in, and the head decides between all words: both stay at eight bits.
            bits = 8 if transposed else QUANTIZED[self.dtype]
            return quantize_parts(self.executor, parts, shape, stored, name, bits=bits, transposed=transposed)
        held = held_kind(self.dtype, stored)
        return pack_parts(self.executor, parts, shape, stored, held, transposed=transposed)
