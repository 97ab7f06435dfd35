"""Does every character of a story keep its name?  Decided from the text alone, by rules that a reader would use.

A name is any capitalized word that is not an ordinary word of the stories, so that invented names count too.
A story keeps its names when
* the first mention of each name introduces it: `a fox named Tom`, `Tom the fox`, `Tom was a fox`, `I am Tom`;
* the hero, the first name of all, is still there near the end;
* there are no more characters than a story of the grammar has: a hero, a friend, perhaps one stranger and one elder;
* nobody changes from a fox into a bear, or from `he` into `she`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from .plots import PLOTS
from .words import DATA, ELDERS, NAMES

_TITLES = r"(?:Mrs\.|Mr\.|Miss|Old|Granny|Grandpa|Grandma|Nana|Aunt|Uncle|Captain)"
_WORD = re.compile(rf"\b(?:{_TITLES} )?[A-Z][a-z]+\b")
_BEFORE = re.compile(r"(?:named|called|[Nn]ame was|[Nn]ame is|I am|I'm) $")
_AFTER = re.compile(r",? the [a-z]+|,? an? [a-z]+|,? was an? [a-z]+")
_BECAUSE = re.compile(r" was [a-z]+ because ")
_LISTS = ("names.txt", "elders.txt", "visitors.txt")
_PRONOUN = re.compile(r"\b(he|him|his|she|her|hers|himself|herself)\b", re.IGNORECASE)
_BODY = "eyes|mouth|heart|head|breath|hands|paws|wings|hooves|claws|feet|foot|knees|nose|throat|tail|own"

GENDERS = {name: group[-1] for group, names in NAMES.items() for name in names}
ELDER_GENDERS = {elder.name: elder.gender for elder in ELDERS}
STRANGERS = {row["sn"] for plot in PLOTS for row in plot.rows if "sn" in row}
ALL_NAMES = set(GENDERS) | {elder.name.split()[-1] for elder in ELDERS} | STRANGERS


@dataclass(frozen=True)
class Mention:
    """A name in a story, and where it stands."""

    name: str
    start: int
    stop: int

    @property
    def elder(self) -> bool:
        """Elders bear a title."""
        return " " in self.name


@cache
def _ordinary() -> frozenset[str]:
    """The words of all data files but the names: as capitalized words they only begin a sentence."""
    files = [path for path in DATA.rglob("*.txt") if path.name not in _LISTS]
    text = " ".join(path.read_text(encoding="ascii") for path in files)
    code = "one then that very day so it jolly bean once"
    return frozenset(re.findall(r"[a-z]+", f"{text} {code}".lower()))


def mentions(story: str) -> list[Mention]:
    """All names in the order of the text."""
    found = [Mention(match[0], match.start(), match.end()) for match in _WORD.finditer(story)]
    certain = {m.name for m in found if _is_name(story, m)}
    return [m for m in found if m.name in certain]


def _is_name(story: str, mention: Mention) -> bool:
    """A listed or titled name, or an unknown word with a capital inside of a sentence."""
    if mention.elder or mention.name in GENDERS or mention.name in STRANGERS:
        return True
    inside = mention.start > 1 and story[mention.start - 1] == " " and story[mention.start - 2] not in '.!?:"'
    return inside and mention.name.lower() not in _ordinary()


def _introduces(story: str, mention: Mention) -> bool:
    """Whether this mention tells who the name belongs to."""
    before, after = story[: mention.start], story[mention.stop :]
    if _BEFORE.search(before) or _AFTER.match(after):
        return True
    first = story.split("\n")[0]
    named_soon = re.search(rf"\b{re.escape(mention.name)} was an? [a-z]", first)
    return mention.start < len(first) and bool(named_soon or _BECAUSE.match(after))


def complaints(story: str) -> list[str]:
    """What is wrong with the names of a story; an empty list is a story that keeps them."""
    found = mentions(story)
    if not found:
        return ["nobody has a name"]
    first: dict[str, Mention] = {}
    for mention in found:
        first.setdefault(mention.name, mention)
    hero = found[0].name
    wrong = [f"{name} comes out of nowhere" for name, m in first.items() if not _introduces(story, m)]
    wrong += _vanishing(story, found, hero)
    wrong += _crowd(story, first, hero)
    wrong += [f"{name} is now {' and now '.join(kinds)}" for name in first if len(kinds := _kinds(story, name)) > 1]
    wrong += [f"{name} is both he and she" for name in first if _changes_gender(story, name)]
    return wrong + _wrong_pronouns(story, found, hero)


def _vanishing(story: str, found: list[Mention], hero: str) -> list[str]:
    """The hero has to be named in the last two fifths of its story."""
    late = [m.name for m in found if m.start > 0.6 * len(story)]
    return [] if hero in late else [f"{hero} vanishes"]


def _crowd(story: str, first: dict[str, Mention], hero: str) -> list[str]:
    """More friends or elders than one: somebody has changed names."""
    elders = [name for name, m in first.items() if m.elder]
    others = [name for name, m in first.items() if not m.elder and name != hero]
    friends = [name for name in others if not re.search(rf"I am {name}\b", story)]
    return [f"too many characters: {', '.join(names)}" for names in (elders, friends) if len(names) > 1]


def _kinds(story: str, name: str) -> list[str]:
    """What a character is said to be, by the last word: `a small bear cub named Tom` and `Tom the bear cub` agree."""
    escaped = re.escape(name)
    found = re.findall(rf"\b([a-z]+) (?:named|called) {escaped}\b", story)
    found += re.findall(rf"\b{escaped} the (bear cub|lion cub|lighthouse keeper|[a-z]+)\b", story)
    return sorted({kind.split()[-1] for kind in found})


def _gender(name: str) -> str | None:
    return GENDERS.get(name) or ELDER_GENDERS.get(name)


def _is_other(pronoun: str, gender: str | None) -> bool:
    """Whether a pronoun belongs to the other gender than the name's."""
    feminine = pronoun.lower().startswith(("she", "her"))
    return gender is not None and feminine != (gender == "f")


def _changes_gender(story: str, name: str) -> bool:
    """`Tom closed her eyes`: what is one's own follows the name closely."""
    own = re.findall(rf"\b{re.escape(name)} (?:[a-z]+ ){{1,2}}(his|her) (?:{_BODY})\b", story)
    return any(_is_other(pronoun, _gender(name)) for pronoun in own)


def _wrong_pronouns(story: str, found: list[Mention], hero: str) -> list[str]:
    """As long as the hero is alone in the story's first paragraph, every pronoun there is the hero's."""
    first = story.split("\n")[0]
    others = [m.start for m in found if m.name != hero]
    alone = first[: min(others, default=len(first))]
    told = re.sub(r'"[^"]*"', "", alone)
    wrong = [pronoun for pronoun in _PRONOUN.findall(told) if _is_other(pronoun, _gender(hero))]
    return [f"{hero} is {wrong[0]}"] if wrong else []
