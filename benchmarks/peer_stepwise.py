"""Peers that take a cache and token ids, and give a cache and logits: how such are driven."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]


class Stepwise:
    """What the comparison asks of an engine, by way of its `forward`."""

    version: str

    def forward(self, ids: Ids, past: Any = None) -> tuple[Any, npt.NDArray[np.float32]]:
        """ids: [sequences, tokens] -> the cache, and the last logits [sequences, vocab_size]."""
        raise NotImplementedError

    def facts(self) -> dict[str, object]:
        """Its version."""
        return {"version": self.version}

    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Logits after the ids, the last of them by itself."""
        past, _ = self.forward(ids[None, :-1])
        return np.array(self.forward(ids[None, -1:], past)[1][0])

    def prefill(self, ids: Ids) -> float:
        """Seconds to read a prompt from empty."""
        start = time.perf_counter()
        self.forward(ids[None])
        return time.perf_counter() - start

    def generate(self, context: Ids, new: Ids) -> float:
        """Seconds for new tokens, one by one, after an untimed context."""
        past = self.forward(context[None])[0] if len(context) else None
        start = time.perf_counter()
        for token in new:
            past, _ = self.forward(np.array([[token]], np.int32), past)
        return time.perf_counter() - start

    def batch_decode(self, new: Ids) -> float:
        """Seconds for [sequences, tokens] in steps of one token of every sequence."""
        past = None
        start = time.perf_counter()
        for place in range(new.shape[1]):
            past, _ = self.forward(new[:, place : place + 1], past)
        return time.perf_counter() - start
