"""The telling of a story: its templates are expanded one after another, and the teller remembers what was said."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from .templates import Choice, Node, parse
from .words import LIKES, OPENINGS, PHRASES, SENSES
from .world import World

_VOWEL = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])(?!one\b|use|uni)")
_SENTENCE = re.compile(r'((?:^|\n|[.!?] |\." )"?)([a-z])')
# An ending that already looks ahead needs no bedtime after it.
_LASTING = re.compile(
    r"that day on|after that|every|often|then on|winter|summer|next|year|always|night|asleep|whenever|now"
    r"|bed|spring|autumn|still|tomorrow",
    re.IGNORECASE,
)
_ONE_DAY = ("One day", "One day", "One {weather} {tod}", "One {weather} {tod}", "One {tod} in {season}",
            "Then, one day", "One {season} {tod}", "Then, one {weather} {tod}")  # fmt: skip
_ONE_NIGHT = ("One night", "One night", "One {weather} night", "Then, one night", "One {season} night")


def capitalize(text: str) -> str:
    """Raise the first letter, also behind an opening quotation mark."""
    i = 1 if text.startswith('"') else 0
    return text[:i] + text[i : i + 1].upper() + text[i + 1 :]


def polish(text: str) -> str:
    """`a` becomes `an` before a vowel, and every sentence gets its capital."""
    text = _VOWEL.sub(r"\1n ", text)
    return _SENTENCE.sub(lambda match: match[1] + match[2].upper(), text)


class Teller:
    """Tells one story of a world; `brevity` from 0 to 1 says how many optional sentences are left out."""

    def __init__(self, rng: random.Random, world: World, brevity: float) -> None:
        self._rng = rng
        self._world = world
        self._values = dict(world.values)
        self._brevity = brevity
        self._introduced: set[str] = set()
        self._used: set[str] = set()
        self._day_set = False
        self._quoted = False
        self._nickname = False
        self._special = {"h": self._hero, "F": self._friend, "F0": self._friend_with_kind, "G": self._elder}
        self._special |= {"oneday": self._one_day, "onenight": self._one_night, "sense": self._sense}
        self._special |= {"fond": self._fond, "like": self._like, "outcry": self._outcry, "because": self._because}

    def tell(self) -> str:
        """The whole story."""
        plot = self._world.plot
        paragraphs = [self._beginning()]
        self._nickname = True
        for blocks in plot.paragraphs:
            parts = [self._sentence(self._fresh(block.ways)) for block in blocks if not self._skips(block.mode)]
            if parts:
                paragraphs.append(" ".join(parts))
        end = self._sentence(self._rng.choice(plot.single["end"]))
        tail = self._tail(end)
        if tail and sum(map(len, paragraphs)) + len(end) + len(tail) <= 1085:
            paragraphs += [end, tail] if self._rng.random() < 0.5 else [f"{end} {tail}"]
        else:
            paragraphs.append(end)
        return polish("\n".join([paragraphs[0], *map(self._without_echo, paragraphs[1:])]))

    def _skips(self, mode: str) -> bool:
        share = {"must": 0.0, "maybe": 0.3 + self._brevity, "drop": self._brevity}[mode]
        return self._rng.random() < share

    def _beginning(self) -> str:
        """The first paragraph: an opening that introduces the hero, and what is special about it."""
        opening = self._sentence(self._opening())
        then = self._rng.choice(self._world.plot.single["open"])
        sensed = self._day_set and self._rng.random() < 0.4
        if sensed:
            opening += " " + self._sentence("{sense}")
        if sensed or (then.startswith("{he}") and self._rng.random() < 0.3):
            # After a look at the sky, "he" would be the moon.
            then = re.sub(r"^\{he\} ", "{hn} ", re.sub(r"^\{his\} ", "{hn}'s ", then))
        return f"{opening} {self._sentence(then)}"

    def _opening(self) -> str:
        """A way to begin; a story of one day or night sets its time at once."""
        day = "tonight" if self._world.night else "today"
        titles = [title for title in OPENINGS if title[-1].isdigit() and title.split()[0] not in ("today", "tonight")]
        titles.append(next(title for title in OPENINGS if title.startswith(day)))
        title = self._rng.choices(titles, [float(title.split()[-1]) for title in titles])[0]
        ways = OPENINGS[title]
        if title.startswith("place"):
            ways = ways + OPENINGS.get(self._world.land.tag, []) * 3
        opening = self._rng.choice(ways)
        if title.startswith(day):
            self._day_set = True
            if not self._world.night and "{tod}" not in opening:
                self._values["tod"] = "day"
        return opening

    def _tail(self, end: str) -> str:
        """Perhaps a moral, a bedtime or a last word after the end."""
        plot = self._world.plot
        chance = self._rng.random()
        one_day = "long" not in plot.attributes and not _LASTING.search(end)
        if chance < 0.30:
            choices = PHRASES["moral_" + plot.attributes.get("theme", "kind")]
        elif chance < 0.50 and one_day and not self._world.night:
            choices = PHRASES["bedtime"]
        elif chance < 0.62 and one_day:
            choices = PHRASES["final day"]
        elif chance < 0.80:
            choices = PHRASES["final"]
        else:
            return ""
        return self._expand(self._fresh(choices))

    def _without_echo(self, paragraph: str) -> str:
        """`... Mia. Mia ...` reads better as `... Mia. She ...`."""
        name, he, his = (self._values[key] for key in ("hn", "he", "his"))
        echo = re.compile(rf"\b{name}\. {name}('s)?(?= )")
        return echo.sub(lambda match: f"{name}. {(his if match[1] else he).capitalize()}", paragraph)

    def _sentence(self, template: str) -> str:
        return capitalize(self._expand(template))

    def _expand(self, template: str) -> str:
        return "".join(self._walk(parse(template)))

    def _walk(self, nodes: tuple[Node, ...]) -> Iterable[str]:
        for node in nodes:
            if isinstance(node, str):
                self._quoted ^= bool(node.count('"') & 1)
                yield node
            elif isinstance(node, Choice):
                yield from self._walk(self._rng.choice(node.ways))
            else:
                yield from self._walk(parse(self._value(node.name)))

    def _value(self, name: str) -> str:
        """What a `{name}` stands for; `{:name}` picks one of the shared phrases."""
        if name.startswith(":"):
            return self._fresh(PHRASES[name[1:]])
        special = self._special.get(name)
        return special() if special else self._values[name]

    def _fresh(self, choices: list[str]) -> str:
        """A choice that this story has not used yet."""
        choice = self._rng.choice([way for way in choices if way not in self._used] or choices)
        self._used.add(choice)
        return choice

    def _hero(self) -> str:
        nickname = self._nickname and not self._quoted and self._rng.random() < 0.08
        return self._values["hthe" if nickname else "hn"]

    def _introduce(self, key: str, introduction: str) -> str:
        """The introduction at the first mention, the bare name afterwards."""
        first = key not in self._introduced
        self._introduced.add(key)
        return introduction if first else self._values[key]

    def _friend(self) -> str:
        return self._introduce("f", self._values["f"] if self._quoted else self._world.friend_intro)

    def _friend_with_kind(self) -> str:
        return self._introduce("f", self._values["F0"])

    def _elder(self) -> str:
        return self._introduce("g", self._world.elder_intro)

    def _one_day(self) -> str:
        """The day on which something happens; a story that began on that day only points back to it."""
        choices = ("That day", "That very day", "That {tod}") if self._day_set else _ONE_DAY
        self._day_set = True
        return self._rng.choice(choices)

    def _one_night(self) -> str:
        choices = ("That night",) if self._day_set else _ONE_NIGHT
        self._day_set = True
        return self._rng.choice(choices)

    def _sense(self) -> str:
        return self._fresh(SENSES["night" if self._world.night else self._values["season"]])

    def _like(self) -> str:
        return self._fresh(LIKES)

    def _fond(self) -> str:
        return self._rng.choice(("", "", " who loved {like}"))

    def _outcry(self) -> str:
        return self._rng.choice(self._world.plot.single["cry"])

    def _because(self) -> str:
        return self._rng.choice(self._world.plot.single["why"])
