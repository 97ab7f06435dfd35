"""A model that nobody uses any more is gone at once, with its memory, its threads and the file that it maps."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import glassformer
from glassformer.models.quantization import quantize

PROMPT = "Once upon a time"


def profiled(model: glassformer.Model) -> None:
    with model.profile():
        model.generate(PROMPT, max_new_tokens=3)


def interrupted(model: glassformer.Model) -> None:
    next(iter(model.stream(PROMPT)))


USES: dict[str, Callable[[glassformer.Model], object]] = {
    "loaded": lambda model: None,
    "generate": lambda model: model.generate(PROMPT, max_new_tokens=3),
    "batch": lambda model: model.generate([PROMPT, "Tom", ""], max_new_tokens=3),
    "guesses": lambda model: model.generate("Tom had a ball. " * 4, max_new_tokens=20, speculate=True),
    "stream left": interrupted,
    "profile": profiled,
    "evaluate": lambda model: model.evaluate([PROMPT]),
    "activations": lambda model: model.run_with_cache(PROMPT),
    "trace": lambda model: list(model.trace(PROMPT, max_new_tokens=3)),
}


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Memory that waits for the collector of cycles may wait for many models more."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("glassformer-")}


@pytest.mark.parametrize("use", USES)
def test_weights_and_threads_go_with_the_last_name(use: str) -> None:
    before = workers()
    model = glassformer.load(dtype="q8", threads=3)
    USES[use](model)
    weights = weakref.ref(model.network.weights)  # type: ignore[attr-defined]
    del model
    assert weights() is None
    until = time.monotonic() + 20
    while workers() - before and time.monotonic() < until:
        time.sleep(0.001)
    assert not workers() - before


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux's /proc")
def test_a_mapped_file_goes_too(tmp_path: Path) -> None:
    quantize(None, tmp_path / "q8")
    model = glassformer.load(tmp_path / "q8")
    model.generate(PROMPT, max_new_tokens=3)
    assert str(tmp_path) in Path("/proc/self/maps").read_text(encoding="utf8")
    del model
    assert str(tmp_path) not in Path("/proc/self/maps").read_text(encoding="utf8")
