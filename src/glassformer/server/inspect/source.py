"""The forward pass as it is written, and the line at which each site is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from glassformer.server.fields import Asked
from glassformer.server.inspect.session import Session

# Sites that are written where another one is, which is the one that the source names.
BESIDE = {"hook_scale": "hook_normalized", "attn.hook_result": "hook_attn_out"}


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
    """The line, from 1 on, that names a site at the end of a string, in whole or by its last word; None: nowhere."""
    for beside, named in BESIDE.items():
        tail = tail.replace(beside, named)
    for word in (tail, tail.rpartition(".")[2]):
        for number, line in enumerate(lines, 1):
            if re.search(rf'["./]{re.escape(word)}"', line):
                return number
    return None
