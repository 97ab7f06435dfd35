"""The world of a story: a plot, a place, a season, the cast and the things in it, as values for the templates."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from .cast import Cast, Person, choose_cast, choose_hero, words_of
from .plots import PLOTS, Plot
from .words import LANDS, PRONOUNS, THINGS, WEATHER, Kind, Land

_WATER = re.compile(r"water|brook|stream|pond|well|fountain")
_WARM = {"spring", "summer", "autumn"}


@dataclass(frozen=True)
class World:
    """All that is settled before the telling begins."""

    plot: Plot
    cast: Cast
    land: Land
    night: bool
    values: dict[str, str]
    friend_intro: str
    elder_intro: str


def make_world(rng: random.Random, like: World | None = None) -> World:
    """Choose a world; `like` keeps the plot and the hero's kind of a world whose story came out too long."""
    kind = like.cast.hero.kind if like else choose_hero(rng)
    plot = like.plot if like else _choose_plot(rng, kind)
    row = _choose_row(rng, plot, kind)
    cast = choose_cast(rng, kind, plot, row)
    season = rng.choice(sorted(_listed(plot, row, "season") or _WARM))
    land = _choose_land(rng, plot, row, season)
    night = plot.attributes.get("time") == "night"
    values = dict(row)
    values.update(_place_values(rng, land, "water" in row or "water" in plot.attributes, "dry" in plot.attributes))
    values.update(_time_values(rng, season, night))
    values.update(_hero_values(rng, cast.hero))
    values.update(_pronouns("f", cast.friend.gender), f=cast.friend.name, fhands=cast.friend.kind.hands)
    values.update(_pronouns("g", cast.elder.gender), g=cast.elder.name)
    values.update(_thing_values(rng, row))
    values["F0"] = _apposed(cast.friend)
    elder_intro = f"{cast.elder.name} the {cast.elder.kind}"
    return World(plot, cast, land, night, values, _friend_intro(rng, cast.friend), elder_intro)


def _listed(plot: Plot, row: dict[str, str], attribute: str) -> set[str]:
    """A list that a row may give and a plot otherwise."""
    return set(row[attribute].split(",")) if attribute in row else plot.listed(attribute)


def _suits(plot: Plot, kind: Kind) -> bool:
    only = plot.listed("only")
    return (not only or bool(only & kind.tags)) and not plot.listed("no") & (kind.tags | {kind.name})


def _choose_plot(rng: random.Random, kind: Kind) -> Plot:
    plots = [plot for plot in PLOTS if _suits(plot, kind)]
    return rng.choices(plots, [float(plot.attributes.get("w", 1)) for plot in plots])[0]


def _choose_row(rng: random.Random, plot: Plot, kind: Kind) -> dict[str, str]:
    """A row that suits the hero: no bird rides a bicycle, and no robot meets a second, nameless robot."""
    rows = [row for row in plot.rows if not set(row.get("tag", "").split(",")) & kind.tags]
    rows = [row for row in rows if kind.name not in words_of(row)] or rows
    return rng.choice(rows) if rows else {}


def _choose_land(rng: random.Random, plot: Plot, row: dict[str, str], season: str) -> Land:
    allowed = _listed(plot, row, "lands")
    banned = plot.listed("nolands") | ({"island", "desert"} if season == "winter" else {"snow"})
    return rng.choice([land for land in LANDS if land.tag not in banned and (not allowed or land.tag in allowed)])


def _place_values(rng: random.Random, land: Land, shore: bool, dry: bool) -> dict[str, str]:
    spots = [spot for spot in land.spots if not (dry and _WATER.search(spot))]
    rng.shuffle(spots)
    if shore:
        first = rng.choice(land.shores)
        spots = [first, *(spot for spot in spots if spot != first)]
    on = "on" if land.short in ("the farm", "the island") else "in"
    names = {"inland": rng.choice(land.phrases), "town": land.short, "inland0": f"{on} {land.short}"}
    return names | {"spot": spots[0], "spot2": spots[1], "spot3": spots[2]}


def _time_values(rng: random.Random, season: str, night: bool) -> dict[str, str]:
    tod = "night" if night else rng.choice(("morning", "morning", "afternoon", "day"))
    return {"season": season, "weather": rng.choice(WEATHER["night" if night else season]), "tod": tod}


def _pronouns(prefix: str, gender: str) -> dict[str, str]:
    return {prefix + key: word for key, word in zip(("he", "him", "his"), PRONOUNS[gender], strict=True)}


def _hero_values(rng: random.Random, hero: Person) -> dict[str, str]:
    """The hero in all forms: `hn` the name, `ha` introduced, `hthe` without its name, `hk1` as a predicate."""
    kind = f"{hero.adjective} {hero.kind.name}"
    values = {"hn": hero.name, "hthe": f"the {kind}", "hk1": f"a {kind}", "kind": hero.kind.name}
    values["ha"] = _named(rng, hero, rng.random() < 0.8)
    values["hnk"] = _apposed(hero)
    values |= {"hands": hero.kind.hands, "home": rng.choice(hero.kind.homes)}
    return values | _pronouns("", hero.gender)


def _named(rng: random.Random, person: Person, described: bool) -> str:
    adjective = person.adjective + " " if described else ""
    return f"a {adjective}{person.kind.name} {rng.choice(('named', 'named', 'called'))} {person.name}"


def _apposed(person: Person) -> str:
    """Name and kind; nobody says `Tom the boy`."""
    kind = person.kind.name
    return f"{person.name}, a {person.adjective} {kind}," if kind in ("girl", "boy") else f"{person.name} the {kind}"


def _friend_intro(rng: random.Random, friend: Person) -> str:
    """Every character is introduced with what it is, so that no name ever comes out of nowhere."""
    if friend.kind.name not in ("girl", "boy") and rng.random() < 0.45:
        return _apposed(friend)
    return _named(rng, friend, rng.random() < 0.6)


def _thing_values(rng: random.Random, row: dict[str, str]) -> dict[str, str]:
    taken = words_of(row)
    things = [thing for thing in THINGS if thing.noun.split()[-1] not in taken and (thing.small or "small" not in row)]
    thing = rng.choice(things)
    cap = rng.choice(("red scarf", "blue scarf", "striped scarf", "green cap", "red cap"))
    boat = rng.choice(("Little Goose", "Brave Bean", "Happy Cloud", "Jolly Frog", "Sunny Day"))
    owned = {"on": thing.noun, "o": f"{rng.choice(thing.adjectives)} {thing.noun}"}
    return owned | {"o2": "warm scarf", "o3": "basket", "o4": cap, "bname": boat}
