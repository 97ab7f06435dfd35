"""How long the page of `glassformer inspect` takes on a model of GPT-2's shape, from the click to the last pixel drawn.

    python benchmarks/inspect_page.py [--model FOLDER] [--dtype f32] [--tokens 1024] [--rounds 8] [--json]

Needs the extras serve and browser, and Chromium. Without a folder, the model has random weights. Edits are of another
head each time, on a text of 30 tokens; the views are changed on a text of `--tokens`, each change after a first one.
Browser and server share the machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from glassformer.models.config import GPT2Config, read_config
from peer_models import write_model
from report import Row, show, surroundings

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120_000  # milliseconds
EDITED = 30  # tokens of the text that is edited

# Sets a state and says how long it takes until every view has come to rest, and what the model took of an edit.
TIMED = """async (patch) => {
  const { app } = await import("/main.js");
  const store = await import("/state.js");
  const start = performance.now();
  store.set(patch);
  await app.settled();
  return [performance.now() - start, 1000 * (app.edited?.seconds ?? 0)];
}"""

# What is changed back and forth in each view.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "attention": ({"layer": 3, "head": 1}, {"layer": 7, "head": 5}),
    "lens": ({"position": 700}, {"position": 20}),
    "attribution": ({"position": 512}, {"position": 300}),
    "neurons": ({"position": 90}, {"position": 800}),
    "edits": ({"position": 40}, {"position": 50}),
    "source": ({"site": "attn.hook_q"}, {"site": "mlp.hook_post"}),
}


@contextmanager
def page_of(folder: Path, dtype: str) -> Iterator[tuple[Any, str]]:
    """A tab of a headless browser, and the address of the page over a model."""
    from playwright.sync_api import sync_playwright

    chromium = next((path for name in NAMES if (path := shutil.which(name))), None)
    if chromium is None:
        raise SystemExit("there is no Chromium; on Debian: apt-get install chromium")
    command = [sys.executable, "-m", "glassformer", "inspect", str(folder), "--dtype", dtype, "--no-open", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as driver:
        try:
            address = server.stdout.readline().strip() if server.stdout else ""
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            yield browser.new_page(viewport={"width": 1360, "height": 900}), address
            browser.close()
        finally:
            server.terminate()


def visit(page: Any, address: str, ids: Sequence[int], tab: str) -> None:
    """Open the page with a text of ids."""
    page.goto("about:blank")
    page.goto(f"{address}#ids={json.dumps(list(ids)).replace(' ', '')}&tab={tab}")
    page.wait_for_selector("html[data-ready]", state="attached", timeout=PATIENCE)


def row(what: str, tokens: int, times: Sequence[float], model: Sequence[float] = ()) -> Row:
    """A line of the table, in milliseconds."""
    part = round(statistics.median(model), 1) if model else ""
    return {"what": what, "tokens": tokens, "median ms": round(statistics.median(times), 1),
            "best ms": round(min(times), 1), "of it the model": part}  # fmt: skip


def edits(page: Any, address: str, ids: Sequence[int], config: GPT2Config, rounds: int) -> Row:
    """Zero one head after the other."""
    visit(page, address, ids, "edits")
    times, model = [], []
    for number in range(rounds + 2):
        place = {"layer": (2 + 5 * number) % config.n_layer, "head": (3 * number) % config.n_head}
        change = {"mode": "zero", "part": "head", "position": None, **place}
        total, inside = page.evaluate(TIMED, {"edits": [change]})
        times.append(total)
        model.append(inside)
    return row("edit a head, until its effect is drawn", len(ids), times[2:], model[2:])


def views(page: Any, address: str, ids: Sequence[int], rounds: int) -> Iterator[Row]:
    """Change each view back and forth, and come to it from another one."""
    visit(page, address, ids, "attention")
    for tab, both in CHANGES.items():
        patches = [{key: min(v, len(ids) - 1) if key == "position" else v for key, v in each.items()} for each in both]
        times, arriving = [], []
        for patch in ({"tab": tab}, *patches):
            page.evaluate(TIMED, patch)
        for number in range(rounds):
            # Back and forth, but never to what was fetched a moment ago.
            moved = {key: v + number if key == "position" else v for key, v in patches[number % 2].items()}
            times.append(page.evaluate(TIMED, moved)[0])
            page.evaluate(TIMED, {"tab": "lens" if tab == "attention" else "attention"})
            arriving.append(page.evaluate(TIMED, {"tab": tab})[0])
        yield row(f"{tab}: {', '.join(both[0])}", len(ids), times)
        yield row(f"{tab}: from another view", len(ids), arriving)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.model is None:
            write_model(Path(folder), GPT2Config())
        place = asked.model or Path(folder)
        config = read_config(place)
        ids = np.random.default_rng(0).integers(1, config.vocab_size, min(asked.tokens, config.n_positions)).tolist()
        with page_of(place, asked.dtype) as (page, address):
            rows = [edits(page, address, ids[:EDITED], config, asked.rounds), *views(page, address, ids, asked.rounds)]
    show(rows, surroundings(["starlette", "uvicorn", "playwright"]) | {"dtype": asked.dtype}, as_json=asked.json)


if __name__ == "__main__":
    main()
