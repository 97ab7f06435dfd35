"""llama.cpp through llama-cpp-python's plain ctypes functions: what is timed is llama_decode."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config
from peer_models import hush_llama, write_gguf

Ids = npt.NDArray[np.int32]


class LlamaCpp:
    """One GGUF file; contexts as llama-bench and llama-batched-bench make them (f16 cache, attention of its choice)."""

    def __init__(self, folder: Path, config: GPT2Config, kind: str, threads: int) -> None:
        import llama_cpp

        self.api, self.config, self.threads = llama_cpp, config, threads
        hush_llama()
        llama_cpp.llama_backend_init()
        path = write_gguf(folder, config, kind)
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {path.name}")
        self.context: Any = None
        self.sequences = 0

    def facts(self) -> dict[str, object]:
        """Version, and bytes of the weights."""
        size = int(self.api.llama_model_size(self.model))
        return {"version": self.api.llama_version().decode(), "weight_bytes": size}

    def fresh(self, sequences: int = 1, tokens: int = 1024) -> None:
        """An empty context for so many sequences."""
        if self.context and self.sequences == sequences:
            self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
            return
        if self.context:
            self.api.llama_free(self.context)
        params = self.api.llama_context_default_params()
        params.n_ctx, params.n_seq_max = sequences * tokens, sequences
        params.n_batch, params.n_ubatch = 2048, 512
        params.n_threads = params.n_threads_batch = self.threads
        params.no_perf = True
        self.context = self.api.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError("llama.cpp makes no context")
        self.sequences = sequences

    def decode(self, tokens: Ids, positions: Ids, sequences: Ids, wanted: npt.NDArray[np.bool_]) -> None:
        """One call of llama_decode, logits for the wanted tokens, and the wait until they are there."""
        batch = self.batch(tokens, positions, sequences, wanted)
        if self.api.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        self.api.llama_synchronize(self.context)

    def batch(self, tokens: Ids, positions: Ids, sequences: Ids, wanted: npt.NDArray[np.bool_]) -> Any:
        """The arrays as llama_decode takes them; they are kept until the next batch."""
        count = len(tokens)
        flags = wanted.astype(np.int8)
        numbers = np.ones(count, np.int32)
        pointers = (sequences.ctypes.data + 4 * np.arange(count)).astype(np.int64)
        self.kept = (tokens, positions, sequences, flags, numbers, pointers)
        batch = self.api.llama_batch()
        batch.n_tokens = count
        for name, array in (("token", tokens), ("pos", positions), ("n_seq_id", numbers), ("logits", flags)):
            kind = ctypes.c_int8 if name == "logits" else ctypes.c_int32
            setattr(batch, name, ctypes.cast(array.ctypes.data, ctypes.POINTER(kind)))
        batch.seq_id = ctypes.cast(pointers.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)))
        return batch

    def read(self, ids: Ids, start: int = 0) -> None:
        """Tokens of sequence 0 from a position on, logits for the last."""
        places = np.arange(start, start + len(ids), dtype=np.int32)
        last = np.arange(len(ids)) == len(ids) - 1
        self.decode(np.ascontiguousarray(ids, np.int32), places, np.zeros(len(ids), np.int32), last)

    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Logits after the ids, the last two of them one by one."""
        self.fresh()
        self.read(ids[:-2])
        self.read(ids[-2:-1], len(ids) - 2)
        self.read(ids[-1:], len(ids) - 1)
        found = self.api.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(found, (self.config.vocab_size,)).copy()

    def prefill(self, ids: Ids) -> float:
        """Seconds to read a prompt from empty."""
        self.fresh()
        start = time.perf_counter()
        self.read(ids)
        return time.perf_counter() - start

    def generate(self, context: Ids, new: Ids) -> float:
        """Seconds for new tokens, one by one, after an untimed context."""
        self.fresh()
        if len(context):
            self.read(context)
        start = time.perf_counter()
        for place, _ in enumerate(new):
            self.read(new[place : place + 1], len(context) + place)
        return time.perf_counter() - start

    def batch_decode(self, new: Ids) -> float:
        """Seconds for [sequences, tokens] in steps of one token of every sequence."""
        count = len(new)
        self.fresh(count, 128)
        sequences, wanted = np.arange(count, dtype=np.int32), np.ones(count, np.bool_)
        start = time.perf_counter()
        for place in range(new.shape[1]):
            self.decode(np.ascontiguousarray(new[:, place]), np.full(count, place, np.int32), sequences, wanted)
        return time.perf_counter() - start
