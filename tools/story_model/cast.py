"""Who is in a story: a hero, a friend and an elder whose names cannot be mistaken for one another."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .plots import Plot
from .words import ELDERS, KIND, KINDS, NAMES, Elder, Kind

_CHILDREN = [KIND["girl"], KIND["boy"]]
_FAVORITES = [KIND[name] for name in ("fox", "rabbit", "mouse", "owl", "bear", "hedgehog")]
# Kinds with names of their own, and how often a character of the kind bears one of them.
_OWN_NAMES = {"robot": 0.75, "dragon": 0.65, "animal": 0.6}


@dataclass(frozen=True)
class Person:
    """A character with what a teller needs to introduce it."""

    kind: Kind
    gender: str
    name: str
    adjective: str


@dataclass(frozen=True)
class Cast:
    """The characters of one story."""

    hero: Person
    friend: Person
    elder: Elder


def choose_hero(rng: random.Random) -> Kind:
    """Children, robots, dragons and the best-loved animals come more often than the rest."""
    pools = [(24, _CHILDREN), (8, [KIND["robot"]]), (6, [KIND["dragon"]]), (9, _FAVORITES), (53, KINDS[2:])]
    pool = rng.choices([kinds for _, kinds in pools], [weight for weight, _ in pools])[0]
    return rng.choice(pool)


def choose_cast(rng: random.Random, hero: Kind, plot: Plot, row: dict[str, str]) -> Cast:
    """Give the hero a name, a friend and an elder who suit the plot."""
    first = _person(rng, hero, rng.choice(_genders(hero)))
    friend = _friend(rng, first, plot, row)
    return Cast(first, friend, _elder(rng, first, friend, row))


def words_of(row: dict[str, str]) -> set[str]:
    """All words of a row.  Nothing that the row itself brings into the story shall come a second time."""
    return {word.strip(".,!?") for value in row.values() for word in value.split()}


def _genders(kind: Kind) -> list[str]:
    """Girls and boys have theirs; a fox may be either."""
    return sorted(kind.tags & {"f", "m"}) or ["f", "m"]


def _person(rng: random.Random, kind: Kind, gender: str) -> Person:
    group = "people"
    for own, share in _OWN_NAMES.items():
        if own in kind.tags and rng.random() < share:
            group = own
    return Person(kind, gender, rng.choice(NAMES[f"{group} {gender}"]), rng.choice(kind.adjectives))


def _friend(rng: random.Random, hero: Person, plot: Plot, row: dict[str, str]) -> Person:
    """A friend of another kind, with the other pronoun and another initial: a listener can tell the two apart."""
    taken = {hero.kind.name, *plot.listed("nofriend"), *words_of(row)}
    while True:
        kind = rng.choice(_CHILDREN) if rng.random() < 0.25 else rng.choice(KINDS)
        person = _person(rng, kind, "m" if hero.gender == "f" else "f")
        if kind.name not in taken and person.gender in _genders(kind) and person.name[0] != hero.name[0]:
            return person


def _elder(rng: random.Random, hero: Person, friend: Person, row: dict[str, str]) -> Elder:
    """An elder of a third kind and initial, mostly with the pronoun that the hero does not have."""
    initials = hero.name[0] + friend.name[0]
    taken = {hero.kind.name, friend.kind.name, *words_of(row)}
    while True:
        elder = rng.choice(ELDERS)
        apart = elder.name.split()[-1][0] not in initials and elder.kind.split()[-1] not in taken
        if apart and (elder.gender != hero.gender or rng.random() < 0.4):
            return elder
