"""The tensor engine on two threads, and random arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glassformer.runtime import executor
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager

Normal = Callable[..., npt.NDArray[Any]]


@pytest.fixture(scope="session")
def ops() -> Ops:
    """The operations on two threads."""
    return Ops(Eager(threads=2))


@pytest.fixture
def normal() -> Normal:
    """normal(*shape): float32 numbers from N(0, 1), the same ones in each test."""
    random = np.random.default_rng(20)
    return lambda *shape: np.asarray(random.standard_normal(shape), np.float32)


@pytest.fixture
def shared_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every launch goes to the worker threads, however small."""
    monkeypatch.setattr(executor, "SMALL", 0)
