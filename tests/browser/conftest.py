"""A server over the embedded model in this process, and a headless Chromium that looks at it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("models", "browser")]

from browser_visit import Visit, serving

from glassformer.model import Model, load

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def story() -> Model:
    """The embedded model."""
    return load()


@pytest.fixture(scope="session")
def address(story: Model) -> Iterator[str]:
    """The page over the embedded model."""
    pytest.importorskip("starlette", reason="needs the extra serve")
    with serving(story, "story") as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, where it is installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra browser")
    executable = next((path for name in NAMES if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("needs Chromium (on Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """A fresh tab; nothing may go wrong in its console."""
    found = Visit(browser, address)
    yield found
    found.context.close()
    assert found.said == []
