"""Stories whose hero bears a name that the grammar does not know.

A model that has only ever met a hundred names keeps those, and turns a `Sue` that a reader brings along into one of
them.  Stories with names from anywhere teach it to copy a name instead of recognizing it.
"""

from __future__ import annotations

import random
import re

from .names import GENDERS, mentions
from .words import lines

_STARTS: tuple[str, ...] = (*"bcdfghjklmnprstvwyz", "br", "ch", "dr", "fl", "gr", "kl", "pr", "sh", "st", "tr")
_VOWELS: tuple[str, ...] = ("a", "a", "e", "e", "i", "i", "o", "o", "u", "ai", "ee", "ia")
_ENDS: tuple[str, ...] = ("", "", "", *"lnrsmkx", "lla", "ny", "ra", "nor", "ta", "mo", "bel", "din")
_NOT_NAMES = {"She", "Her", "His", "Him", "The"}
_KNOWN = {group: words.split() for group, words in (line.split("|") for line in lines("visitors.txt"))}


def invented(rng: random.Random) -> str:
    """A name that nobody has heard before."""
    syllables = "".join(rng.choice(_STARTS) + rng.choice(_VOWELS) for _ in range(rng.choice((1, 1, 2))))
    return (syllables + rng.choice(_ENDS)).capitalize()


def with_visitors(text: str, rng: random.Random) -> tuple[str, set[str]]:
    """The story with a new name for the hero, often for the friend too, and the names that are new."""
    old = list(dict.fromkeys(m.name for m in mentions(text) if m.name in GENDERS))[:2]
    new: set[str] = set()
    for name in old if rng.random() < 0.5 else old[:1]:
        visitor = rng.choice(_KNOWN[GENDERS[name]]) if rng.random() < 0.5 else invented(rng)
        if len(visitor) > 2 and visitor not in _NOT_NAMES and not re.search(rf"\b{visitor}\b", text):
            text = re.sub(rf"\b{name}\b", visitor, text)
            new.add(visitor)
    return text, new
