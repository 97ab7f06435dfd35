"""Take the pictures of docs/inspect.md: the page over the story model, in light and dark.

python -m tools.make_inspect_screenshots        (needs the extras serve and browser, and Chromium)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

IMAGES = Path(__file__).parents[1] / "docs" / "images"
BEGINNING = "Once upon a time, in a village of wooden houses by a lake, there was a little girl named "
END = ". She had a dear old neighbor. One day,"
TEXT, OTHER = f"{BEGINNING}Ivy{END}", f"{BEGINNING}Leila{END}"
PATIENCE = 60_000  # milliseconds
HEAD = {"layer": 3, "head": 2, "locked": "true"}  # what carries the name to where it is said next
ABLATED = [{"mode": "zero", "part": "head", "layer": 3, "head": 2, "position": None}]


@dataclass(frozen=True)
class Shot:
    """A picture: its name, the state of the page, its colours, and the button that is pressed first."""

    name: str
    state: dict[str, Any]
    scheme: str = "light"
    press: str = ""
    height: int = 900


SHOTS = (
    Shot("inspect-attention-light", {"text": TEXT, **HEAD}),
    Shot("inspect-attention-dark", {"text": TEXT, **HEAD}, "dark"),
    Shot("inspect-sweep-dark", {"text": TEXT, "other": OTHER, "tab": "edits", "a": "·Ivy", "b": "·Leila"}, "dark",
         press="Sweep", height=900),
    Shot("inspect-edits-light", {"text": TEXT, "other": OTHER, "tab": "edits", "edits": json.dumps(ABLATED),
                                 "sweep": "z",
                                 **HEAD},
         press="Sweep", height=920),
)  # fmt: skip


def take(browser: Any, address: str, shot: Shot) -> None:
    """One picture, once everything on the page has come to rest."""
    page = browser.new_page(viewport={"width": 1360, "height": shot.height}, color_scheme=shot.scheme)
    page.goto(f"{address}#{urlencode(shot.state)}")
    page.wait_for_selector("html[data-ready]", state="attached", timeout=PATIENCE)
    if shot.press:
        page.get_by_role("button", name=shot.press, exact=True).click()
        page.get_by_text("1 restores it wholly").wait_for(timeout=PATIENCE)
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / f"{shot.name}.png")
    page.close()


def main() -> int:
    """Take them all; 1 where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if chromium is None:
        print("there is no Chromium; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "glassformer", "inspect", "--no-open", "--json", "--quiet"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        address = json.loads(server.stdout.readline())["url"] if server.stdout else ""
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for shot in SHOTS:
                # The other text first, so that the times that are shown are those of a warm model.
                take(browser, address, replace(shot, state={**shot.state, "text": OTHER, "other": TEXT}))
                take(browser, address, shot)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
