"""CTranslate2, and transformers over torch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config
from peer_models import word
from peer_stepwise import Stepwise

Ids = npt.NDArray[np.int32]


class CTranslate2:
    """Its generator. A prompt is timed as reading it and writing one token; new tokens as what more of them add."""

    def __init__(self, folder: Path, config: GPT2Config, kind: str, threads: int) -> None:
        import ctranslate2
        from ctranslate2.converters import TransformersConverter

        self.version = ctranslate2.__version__
        converted = folder / "ctranslate2"
        if not converted.exists():
            TransformersConverter(str(folder)).convert(str(converted))
        self.model = ctranslate2.Generator(
            str(converted), device="cpu", compute_type=kind, intra_threads=threads, inter_threads=1
        )

    def facts(self) -> dict[str, object]:
        """Its version."""
        return {"version": self.version}

    def seconds(self, ids: Ids, new: int) -> float:
        """Time to read a prompt and write so many tokens."""
        words = [[word(int(token)) for token in row] for row in np.atleast_2d(ids)]
        lengths = {"max_length": new, "min_length": new, "max_batch_size": 0}
        start = time.perf_counter()
        self.model.generate_batch(words, **lengths, sampling_topk=1, include_prompt_in_result=False, end_token=[])
        return time.perf_counter() - start

    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Logits after the ids."""
        return np.array(self.model.forward_batch([ids.tolist()]), np.float32)[0, -1]

    def prefill(self, ids: Ids) -> float:
        """Seconds to read a prompt from empty."""
        return self.seconds(ids, 1)

    def generate(self, context: Ids, new: Ids) -> float:
        """Seconds for new tokens after an untimed context of at least one token."""
        ids = context if len(context) else new[:1]
        prompt = self.seconds(ids, 1)
        return self.seconds(ids, len(new) + 1) - prompt

    def batch_decode(self, new: Ids) -> float:
        """Seconds for as many new tokens per sequence as `new` [sequences, tokens] has."""
        prompt = self.seconds(new[:, :1], 1)
        return self.seconds(new[:, :1], new.shape[1] + 1) - prompt


class Torch(Stepwise):
    """GPT2LMHeadModel in float32."""

    def __init__(self, folder: Path, config: GPT2Config, kind: str, threads: int) -> None:
        import torch
        import transformers

        self.torch, self.version = torch, f"{torch.__version__} (transformers {transformers.__version__})"
        torch.set_num_threads(threads)
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()

    def forward(self, ids: Ids, past: Any = None) -> tuple[Any, npt.NDArray[np.float32]]:
        """ids: [sequences, tokens] -> the cache, and the last logits [sequences, vocab_size]."""
        with self.torch.inference_mode():
            inputs = self.torch.as_tensor(np.asarray(ids, np.int64))
            out = self.model(inputs, past_key_values=past, use_cache=True, logits_to_keep=1)
        return out.past_key_values, out.logits[:, -1].numpy()
