"""Writes docs/images/terminal.svg: a real terminal session with the installed `glassformer`, drawn as text.

    python tools/make_terminal_picture.py

The commands run under a pseudo-terminal, so the picture shows what a person sees; long lines are broken between words.
"""

import os
import pty
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "terminal.svg"
SESSION = (
    ["generate", "Once upon a time", "--seed", "7"],
    ["tokenize", "--offsets", "Once upon a time"],
    ["kernels", "gelu_tanh"],
)
MAX_LINES = {"kernels": 14}  # an excerpt is enough of what is long
COLUMNS, LINE, CHARACTER, MARGIN = 98, 20, 8.43, 18
COLOURS = {"command": "#7ee787", "output": "#e6edf3", "note": "#8b949e"}


def record(arguments: list[str]) -> str:
    """What a terminal shows of a command."""
    terminal, child_side = pty.openpty()
    command = [sys.executable, "-m", "glassformer", *arguments]
    child = subprocess.Popen(command, stdin=child_side, stdout=child_side, stderr=child_side)
    os.close(child_side)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    if child.wait() != 0:
        raise SystemExit(f"{' '.join(arguments)} failed: {shown.decode()}")
    return shown.decode().replace("\r\n", "\n").rstrip("\n")


def lines() -> Iterator[tuple[str, str]]:
    """Lines of the session with their kinds."""
    for arguments in SESSION:
        yield "command", "$ glassformer " + " ".join(f'"{each}"' if " " in each else each for each in arguments)
        output = [
            ("note" if text.startswith("[") else "output", line)
            for text in record(arguments).split("\n")
            for line in textwrap.wrap(text.expandtabs(8), COLUMNS, replace_whitespace=False) or [""]
        ]
        limit = MAX_LINES.get(arguments[0], len(output))
        yield from output[:limit]
        if len(output) > limit:
            yield "note", f"... {len(output) - limit} more lines"
        yield "output", ""


def drawing(session: list[tuple[str, str]]) -> str:
    """The session as SVG."""
    width, height = round(COLUMNS * CHARACTER + 2 * MARGIN), len(session) * LINE + 2 * MARGIN
    rows = [  # Chromium does not let texts inherit xml:space
        f'<text xml:space="preserve" x="{MARGIN}" y="{MARGIN + LINE * (number + 1) - 5}" '
        f'fill="{COLOURS[kind]}">{escape(line)}</text>'
        for number, (kind, line) in enumerate(session)
        if line
    ]
    fonts = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            "<title>A terminal session with glassformer</title>",
            f'<rect width="{width}" height="{height}" rx="10" fill="#0d1117"/>',
            f'<g font-family="{fonts}" font-size="14">',
            *rows,
            "</g>",
            "</svg>\n",
        ]
    )


def main() -> None:
    """Write the picture."""
    session = list(lines())
    while session[-1][1] == "":
        session.pop()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(drawing(session), encoding="utf8")


if __name__ == "__main__":
    main()
