"""What tests of the engine share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from glassformer.generation.asked import Asked
from glassformer.generation.continuation import Generation
from glassformer.generation.model import TextModel
from glassformer.generation.scheduler import Limits
from glassformer.generation.serving import Engine, ServingConfig

STORY = "One day, Tom and his friend Lily went to the park. They saw a big red ball in the tree. "
WAYS = [
    Asked(do_sample=False, max_new_tokens=40, ignore_eos=True),
    Asked(seed=3, temperature=0.8, top_p=0.9, max_new_tokens=25),
    Asked(seed=4, temperature=0.9, logprobs=2, max_new_tokens=13),
    Asked(do_sample=False, repetition_penalty=1.3, max_new_tokens=30),
    Asked(seed=5, stop=".", max_new_tokens=60),
]


def alone(model: TextModel, prompt: Any, asked: Asked) -> Generation:
    return model.generate(prompt, **vars(asked))


def config_of(model: TextModel, blocks: int = 200, prefix_blocks: int | None = None, **limits: int) -> ServingConfig:
    """A memory of so many blocks."""
    stride = model.network.layout.block_stride  # type: ignore[attr-defined]
    kept = None if prefix_blocks is None else prefix_blocks * stride
    return ServingConfig(Limits(**limits), cache_bytes=blocks * stride, prefix_bytes=kept)


def settled(found: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether something becomes true in a while."""
    end = time.monotonic() + seconds
    while not found() and time.monotonic() < end:
        time.sleep(0.002)
    return found()


@contextmanager
def standing(engine: Engine) -> Iterator[None]:
    """Let an engine stand still, so that what is asked of it within the block comes at the same moment."""
    event, stands = threading.Event(), threading.Event()
    engine.call(lambda: (stands.set(), event.wait(10)))
    assert stands.wait(5)
    try:
        yield
    finally:
        event.set()
