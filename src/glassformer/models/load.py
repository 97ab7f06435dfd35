"""From tensors in files to a network: names, types, layouts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from glassformer.errors import GlassformerError
from glassformer.formats.sharded import Weights as WeightFiles
from glassformer.formats.sharded import open_weights
from glassformer.models.config import GPT2Config, check_tensors, expected_tensors, read_config
from glassformer.models.gpt2 import GPT2
from glassformer.models.packed_weights import read_packed
from glassformer.models.reader import Progress, Reader
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.kv_cache import CACHE_KINDS, CacheError
from glassformer.runtime.packed import check_dtype

PREFIX = "transformer."
LAYER = re.compile(r"h\.(\d{1,9})\.")
# Buffers that older checkpoints carry; causality is built in here.
UNUSED = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


class LoadError(GlassformerError):
    """Weights that do not make the model that config.json describes."""


def load_network(
    folder: str | os.PathLike[str],
    *,
    dtype: str = "auto",
    threads: int | None = None,
    cache_dtype: str = "auto",
    progress: Progress | None = None,
) -> GPT2:
    """The network in a model's folder; the options are those of `glassformer.load`."""
    config = read_config(folder)
    return read_network(folder, config, dtype=dtype, threads=threads, cache_dtype=cache_dtype, progress=progress)


def read_network(
    weights: str | os.PathLike[str],
    config: GPT2Config,
    *,
    dtype: str = "auto",
    threads: int | None = None,
    cache_dtype: str = "auto",
    progress: Progress | None = None,
) -> GPT2:
    """The network that a configuration describes, from a folder or file of weights.

    Weights that `glassformer quantize` has written are used where they lie in the mapped file.

    Raises:
        ConfigError: tensors missing or of other shapes than the configuration says.
        WeightError: tensors of a type that weights cannot have, or an unknown `dtype`.
        CacheError: an unknown `cache_dtype`.
        PackedWeightsError: a packed file that is not for this version, model or `dtype`.
    """
    check_dtype(dtype)  # before any work
    check_kind(cache_dtype)
    ops = Ops(Eager(threads))
    with ExitStack() as opened:
        files = opened.enter_context(open_weights(weights))
        if files.is_packed:
            config, held = read_packed(files, config, dtype, progress)
            opened.pop_all()  # the map goes with the last array over it
            return GPT2(config, held, ops, cache_dtype)
        config, names = checked_names(files, config)
        return GPT2(config, Reader(files, names, dtype, ops, progress).read(config), ops, cache_dtype)


def check_kind(cache_dtype: str) -> None:
    """Refuse a `cache_dtype` that keys and values cannot be held in."""
    if cache_dtype not in ("auto", *CACHE_KINDS):
        raise CacheError(f"cache_dtype {cache_dtype!r} is unknown; choose from auto, {', '.join(CACHE_KINDS)}")


def checked_names(files: WeightFiles, config: GPT2Config) -> tuple[GPT2Config, dict[str, str]]:
    """The configuration with the head tied as stored, and the files' names of its tensors by the architecture's own.

    Raises:
        ConfigError: tensors missing or of other shapes than the configuration says.
        LoadError: names that mean the same, or more layers than the configuration has.
    """
    names = own_names(files)
    config = tied_as_stored(config, files, names)
    check_layers(config, names, str(files.path))
    check_tensors(config, {own: files.shape(name) for own, name in names.items()}, str(files.path))
    return config, {own: names[own] for own in expected_tensors(config)}


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
