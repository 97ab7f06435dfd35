"""The words of the grammar, read from the tables in `data/`.

Each table is plain text, one entry per line, with `|` between columns and `;` or `,` inside them, so that a new
animal or a new land is one new line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / "data"
PRONOUNS = {"f": ("she", "her", "her"), "m": ("he", "him", "his")}


@dataclass(frozen=True)
class Kind:
    """What a character is: `fox`, `robot`, `baker`; its tags say which plots and names suit it."""

    name: str
    tags: frozenset[str]
    adjectives: tuple[str, ...]
    hands: str
    homes: tuple[str, ...]


@dataclass(frozen=True)
class Elder:
    """A grown-up who gives advice: `Mrs. Plum`, the `baker`."""

    name: str
    kind: str
    gender: str


@dataclass(frozen=True)
class Land:
    """Where a story plays, with the spots that it visits there; shores are the spots beside water."""

    tag: str
    phrases: tuple[str, ...]
    short: str
    spots: tuple[str, ...]
    shores: tuple[str, ...]


@dataclass(frozen=True)
class Thing:
    """Something to own, to lose and to find; a small thing is one that a magpie could carry."""

    noun: str
    adjectives: tuple[str, ...]
    small: bool


def lines(name: str) -> list[str]:
    """The lines of a data file, without the empty ones."""
    text = (DATA / name).read_text(encoding="ascii")
    return [line.strip() for line in text.splitlines() if line.strip()]


def sections(name: str) -> dict[str, list[str]]:
    """A data file in sections: each begins with `## title`, and every other line belongs to the last title."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines(name):
        if line.startswith("## "):
            current = found[line[3:]] = []
        else:
            current.append(line)
    return found


def _split(text: str, mark: str) -> tuple[str, ...]:
    return tuple(text.split(mark)) if text else ()


def _kind(line: str) -> Kind:
    name, tags, adjectives, hands, homes = line.split("|")
    return Kind(name, frozenset(tags.split()), _split(adjectives, ","), hands, _split(homes, ";"))


def _elder(line: str) -> Elder:
    name, kind, gender = line.split("|")
    return Elder(name, kind, gender)


def _land(line: str) -> Land:
    tag, phrases, short, spots, shores = line.split("|")
    return Land(tag, _split(phrases, ";"), short, _split(spots, ";"), _split(shores, ";"))


def _thing(line: str) -> Thing:
    noun, adjectives, *small = line.split("|")
    return Thing(noun, _split(adjectives, ","), bool(small))


KINDS = [_kind(line) for line in lines("kinds.txt")]
ELDERS = [_elder(line) for line in lines("elders.txt")]
LANDS = [_land(line) for line in lines("lands.txt")]
THINGS = [_thing(line) for line in lines("objects.txt")]
LIKES = lines("likes.txt")
NAMES = {group: words.split() for group, words in (line.split("|") for line in lines("names.txt"))}
SENSES = sections("senses.txt")
WEATHER = sections("weather.txt")
PHRASES = sections("phrases.txt")
OPENINGS = sections("openings.txt")
KIND = {kind.name: kind for kind in KINDS}
