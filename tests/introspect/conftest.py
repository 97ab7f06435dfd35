"""The models that are looked into: the story model, whole and quantised, and a small one of random, lively weights."""

import sys
from pathlib import Path

import pytest

from glassformer.model import Model, load

sys.path.append(str(Path(__file__).parents[1] / "models"))


@pytest.fixture(scope="session")
def story() -> Model:
    return load(dtype="f32")


@pytest.fixture(scope="session", params=["f32", "q8"])
def each_story(request: pytest.FixtureRequest) -> Model:
    return load(dtype=request.param)


@pytest.fixture(scope="session")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Model:
    from analysis_cases import LIVELY
    from gpt2_cases import checkpoint, save

    drawn = checkpoint(LIVELY, seed=11)
    return load(save(tmp_path_factory.mktemp("lively"), drawn.values, drawn.tensors))
