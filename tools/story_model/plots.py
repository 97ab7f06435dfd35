"""The plots, read from `data/plots/`: one file per plot.

The first line of a file holds the plot's attributes (`theme=brave lands=sea,island`).  Then come
* `@row` lines, one of which a story picks: values such as `food=bag of plums`, separated by `; `;
* `@cry` and `@why`, sentences that may open a story in its middle; `@open`, which follows the opening;
* `@P`, alternatives for the start of a paragraph, and `@B` (always), `@O` (often) and `@D` (dropped when a story is
  told briefly), alternatives for more sentences of it; `@PD` is a paragraph that may be dropped;
* `@end`, alternatives for the last paragraph.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .words import DATA

_MODES = {"@P": "must", "@PD": "drop", "@B": "must", "@O": "maybe", "@D": "drop"}


@dataclass(frozen=True)
class Block:
    """Alternatives for one step of a plot; the mode says whether the step may be left out."""

    mode: str
    ways: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plot:
    """What happens in a story, from the opening to the end."""

    name: str
    attributes: dict[str, str]
    rows: list[dict[str, str]] = field(default_factory=list)
    single: dict[str, list[str]] = field(default_factory=lambda: {"cry": [], "why": [], "open": [], "end": []})
    paragraphs: list[list[Block]] = field(default_factory=list)

    def listed(self, attribute: str) -> set[str]:
        """The values of an attribute that holds a list; empty where the plot does not have it."""
        return set(self.attributes.get(attribute, "").split(",")) - {""}


def parse_plot(name: str, text: str) -> Plot:
    """Read a plot file."""
    first, *body = [line.strip() for line in text.splitlines() if line.strip()]
    plot = Plot(name, dict(pair.split("=", 1) for pair in first.split()))
    ways: list[str] = []
    for line in body:
        if line.startswith("@row "):
            plot.rows.append(dict(item.split("=", 1) for item in line[5:].split("; ")))
        elif line.startswith("@"):
            ways = _start(plot, line)
        else:
            ways.append(line)
    return plot


def _start(plot: Plot, mark: str) -> list[str]:
    """The list that the lines after a mark belong to."""
    if mark[1:] in plot.single:
        return plot.single[mark[1:]]
    block = Block(_MODES[mark])
    if mark.startswith("@P"):
        plot.paragraphs.append([])
    plot.paragraphs[-1].append(block)
    return block.ways


PLOTS = [parse_plot(path.stem, path.read_text(encoding="ascii")) for path in sorted((DATA / "plots").glob("*.txt"))]
