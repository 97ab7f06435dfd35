"""Draw the pictures of docs/performance.md: how weights lie, what a register tile holds, how a plan is replayed.

python -m tools.make_performance_pictures
"""

from __future__ import annotations

from pathlib import Path

IMAGES = Path(__file__).parents[1] / "docs" / "images"
FONT = 'font-family="ui-monospace, Menlo, Consolas, monospace"'
COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#b279a2"]
INK, PAPER, FAINT = "#24292f", "#ffffff", "#8c959f"


def text(x: float, y: float, words: str, size: int = 13, colour: str = INK, anchor: str = "start") -> str:
    """A line of text; y is its base line."""
    return f'<text x="{x}" y="{y}" {FONT} font-size="{size}" fill="{colour}" text-anchor="{anchor}">{words}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0) -> str:
    """A filled rectangle with a thin edge."""
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {place} fill="{fill}" fill-opacity="{opacity}" stroke="{INK}" stroke-width="0.7"/>'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line with a head at its end."""
    place = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    return f'<line {place} stroke="{INK}" stroke-width="1.2" marker-end="url(#head)"/>'


def drawing(title: str, width: int, height: int, parts: list[str]) -> str:
    """A picture on white, readable on dark pages too."""
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{INK}"/></marker></defs>'
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    body = "\n".join([head, f'<rect width="{width}" height="{height}" fill="{PAPER}"/>', *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>\n<title>{title}</title>\n{body}\n</svg>\n'


def layout() -> str:
    """A weight matrix in the file, and packed in blocks of 64 outputs."""
    parts = [text(20, 28, "in the file: one row of outputs for each input"), text(470, 28, "packed: block by block")]
    for k in range(4):
        parts += [box(60 + 80 * b, 50 + 34 * k, 80, 26, COLOURS[b], 0.25 + 0.18 * k) for b in range(4)]
        parts.append(text(20, 68 + 34 * k, f"k = {k}", 12))
    parts += [text(100 + 80 * b, 204, f"{64 * b}..{64 * b + 63}", 11, FAINT, "middle") for b in range(4)]
    for block in range(4):
        for k in range(4):
            parts.append(box(470 + 66 * k, 50 + 34 * block, 66, 26, COLOURS[block], 0.25 + 0.18 * k))
            parts.append(text(503 + 66 * k, 68 + 34 * block, f"k = {k}", 11, INK, "middle"))
    parts.append(arrow(395, 115, 455, 115))
    parts.append(text(470, 204, "a block is one run of memory, and a task", 11, FAINT))
    parts.append(text(20, 244, "one 64-byte line of an 8-bit block: 16 outputs, four inputs of each side by side", 13))
    for output in range(16):
        parts += [box(20 + 44 * output + 10 * k, 258, 10, 26, COLOURS[k], 0.7) for k in range(4)]
        parts.append(text(40 + 44 * output, 300, f"o{output}", 10, FAINT, "middle"))
    return drawing("Packed weights", 750, 316, parts)


def tile() -> str:
    """Three tokens by four vectors of sums, and what one weight vector is used for."""
    parts = [text(20, 28, "a register tile: 4 vectors of 16 outputs x 3 tokens")]
    for v in range(4):
        parts.append(box(140 + 120 * v, 50, 110, 30, COLOURS[v], 0.35))
        parts.append(text(195 + 120 * v, 70, f"weights {16 * v}..{16 * v + 15}", 11, INK, "middle"))
    for t in range(3):
        parts.append(box(20, 100 + 46 * t, 100, 34, "#d0d7de"))
        parts.append(text(70, 121 + 46 * t, f"token {t}, input k", 10, INK, "middle"))
        for v in range(4):
            parts.append(box(140 + 120 * v, 100 + 46 * t, 110, 34, COLOURS[v], 0.75))
            parts.append(text(195 + 120 * v, 121 + 46 * t, f"sum[{v}][{t}]", 11, PAPER, "middle"))
    parts.append(text(20, 262, "for each k: load 4 weight vectors once, use each for 3 tokens: 12 multiply-adds", 12))
    parts.append(
        text(20, 282, "the sums stay in registers from the first input to the last, each one chain in one", 12)
    )
    parts.append(text(20, 302, "order, so that a tile of 1, 2, 3 or 4 tokens gives the same bits", 12))
    return drawing("A register tile", 640, 318, parts)


def plan() -> str:
    """Two threads through a few launches."""
    parts = [text(20, 28, "one decode step: Python calls once, native code does the rest")]
    launches = [("norm", 26, 0), ("q k v", 96, 1), ("attention", 70, 1), ("quantise", 26, 0), ("projection", 60, 1),
                ("norm", 26, 0), ("widen + GELU", 116, 1), ("quantise", 26, 0), ("narrow", 116, 1)]  # fmt: skip
    x = 90.0
    parts += [text(20, 72, "leader", 12), text(20, 112, "worker", 12)]
    for name, width, shared in launches:
        colour = COLOURS[0] if shared else COLOURS[1]
        parts.append(box(x, 54, width, 26, colour, 0.7))
        if shared:
            parts.append(box(x, 94, width - 4, 26, colour, 0.7))
            parts.append(text(x + width / 2, 140, name, 10, INK, "middle"))
        else:
            parts.append(text(x + width / 2, 46, name, 9, INK, "middle"))
        x += width + 4
    parts.append(
        text(20, 172, "blue: tasks (blocks of 64 outputs, heads) claimed from a counter by whoever is free", 12)
    )
    parts.append(text(20, 192, "orange: too small to share; the leader does it at once", 12))
    return drawing("A plan", 720, 208, parts)


def main() -> None:
    """Write all pictures."""
    for name, picture in (("packed-layout", layout()), ("register-tile", tile()), ("plan", plan())):
        (IMAGES / f"{name}.svg").write_text(picture, encoding="utf8")


if __name__ == "__main__":
    main()
