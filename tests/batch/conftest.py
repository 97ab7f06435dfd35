"""The embedded model, once."""

import pytest

import glassformer
from glassformer.model import Model


@pytest.fixture(scope="session")
def story() -> Model:
    """The embedded model."""
    return glassformer.load()
