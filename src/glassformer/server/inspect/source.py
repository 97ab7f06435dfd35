"""The forward pass as it is written, and the line at which each site is."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from glassformer.server.fields import Asked
from glassformer.server.inspect.session import Session


def source(session: Session, asked: Asked) -> dict[str, Any]:
    """The file of the architecture, line by line, and for each line the sites that it names, without their layer."""
    file = Path(inspect.getsourcefile(type(session.model.network)) or "")
    lines = file.read_text(encoding="utf8").splitlines()
    names = sorted({site_tail(site.name) for site in session.model.sites()})
    found = [{"line": line, "site": name} for name in names if (line := line_of(lines, name))]
    return {"file": f"{file.parent.name}/{file.name}", "lines": lines, "sites": found}


def site_tail(name: str) -> str:
    """A site's name without the layer: "attn.hook_q" for "blocks.3.attn.hook_q"."""
    return name.split(".", 2)[2] if name.startswith("blocks.") else name


def line_of(lines: list[str], tail: str) -> int | None:
    """The line, from 1 on, that names a site in quotes, by its whole tail or else by its last word; None: nowhere."""
    for word in (tail, tail.rpartition(".")[2]):
        for number, line in enumerate(lines, 1):
            if f'"{word}"' in line:
                return number
    return None
