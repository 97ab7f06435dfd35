"""Glassformer as the peers are driven, and the reading bandwidth that its decoding is held against."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer import __version__
from glassformer.generation.decode import decode_greedily
from glassformer.models.config import GPT2Config
from glassformer.models.load import load_network
from glassformer.runtime.executor import Eager
from glassformer.runtime.machine import ReadProbe

Ids = npt.NDArray[np.int32]


class Memory:
    """No engine: the speed of memory, which changes from minute to minute on a shared machine."""

    def __init__(self, folder: Path, config: GPT2Config, kind: str, threads: int) -> None:
        self.probe = ReadProbe(Eager(threads))

    def facts(self) -> dict[str, object]:
        """Nothing to tell."""
        return {}

    def read_bandwidth(self) -> float:
        """GB/s of reading with all threads, now."""
        return self.probe.gigabytes(2)


class Glassformer:
    """The folder's network with its weights held as `kind`."""

    def __init__(self, folder: Path, config: GPT2Config, kind: str, threads: int) -> None:
        self.network = load_network(folder, dtype=kind, threads=threads)
        self.window = config.n_positions
        # One cache for all rows of one sequence: its pages are touched once, as a server's would be.
        self.cache = self.network.new_cache(self.window)
        self.caches: list[Any] = []
        self.sampler = self.network.sampler()

    def facts(self) -> dict[str, object]:
        """Version, bytes of the weights that a step reads, and of the cache for one token."""
        weights, config = self.network.weights, self.network.config
        read = weights.nbytes - weights.wpe.nbytes  # a row of the positions is read, not the table
        if weights.lm_head is not weights.wte:
            read -= weights.wte.nbytes
        per_token = self.cache.nbytes // self.cache.capacity if self.cache.capacity else 0
        target = self.network.ops.executor.target.name
        return {"version": __version__, "weight_bytes": read, "token_bytes": per_token,
                "target": target, "layers": config.n_layer}  # fmt: skip

    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Logits after the ids, the last two of them one by one."""
        self.cache.truncate(0)
        self.network.forward(ids[:-2], self.cache)
        self.network.forward(ids[-2:-1], self.cache)
        return self.network.forward(ids[-1:], self.cache)[0]

    def prefill(self, ids: Ids) -> float:
        """Seconds to read a prompt from empty."""
        self.cache.truncate(0)
        start = time.perf_counter()
        self.network.forward(ids, self.cache)
        return time.perf_counter() - start

    def generate(self, context: Ids, new: Ids) -> float:
        """Seconds for as many new tokens, the greatest after the first of them, after an untimed context."""
        self.cache.truncate(0)
        if len(context):
            self.network.forward(context, self.cache)
        start = time.perf_counter()
        decode_greedily(self.network, int(new[0]), self.cache, self.sampler, len(new))
        return time.perf_counter() - start

    def batch_caches(self, sequences: int) -> list[Any]:
        """Empty caches for so many sequences; as with one, their pages have been touched before."""
        if len(self.caches) != sequences:
            self.caches = self.network.new_caches([128] * sequences)
        for cache in self.caches:
            cache.truncate(0)
        return self.caches

    def batch_decode(self, new: Ids) -> float:
        """Seconds for [sequences, tokens] in steps of one token of every sequence."""
        caches = self.batch_caches(len(new))
        rows = [np.ascontiguousarray(row) for row in new]
        start = time.perf_counter()
        for place in range(new.shape[1]):
            parts = [(row[place : place + 1], cache) for row, cache in zip(rows, caches, strict=True)]
            self.network.forward_batch(parts)
        return time.perf_counter() - start
