"""What decides the results of a run, beside the lines themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from glassformer.generation.asked import Asked
from glassformer.generation.constraints.constraint import Constraint
from glassformer.generation.rng import MAX_SEED

if TYPE_CHECKING:
    from glassformer.introspect.embedding import Pooling

Task = Literal["generate", "score", "embed"]
PER_LINE = ("seed", "speculate")  # of `Asked`: drawn for each line, and without a say in its tokens


@dataclass(frozen=True)
class Terms:
    """The task of a run, and what holds for lines that say nothing else.

    Attributes:
        task: what is done with each line.
        asked: how lines are continued; its seed is not looked at.
        seed: that of the first line; each line has the next one after the line before it.
        pooling: what becomes of the states of a text's tokens where it is embedded.
    """

    task: Task = "generate"
    asked: Asked = field(default_factory=Asked)
    seed: int = 0
    pooling: Pooling = "mean"

    def seed_of(self, number: int) -> int:
        """The seed of a line, counted from 1."""
        return (self.seed + number - 1) & MAX_SEED

    def described(self) -> dict[str, object]:
        """The same as an object of JSON, without what is not used."""
        said: dict[str, object] = {"task": self.task}
        if self.task == "generate":
            said |= {"seed": self.seed} | described(self.asked)
        elif self.task == "embed":
            said["pooling"] = self.pooling
        found: dict[str, object] = json.loads(json.dumps(said))
        return found


def described(asked: Asked) -> dict[str, object]:
    """What was asked and is not the usual, as an object of JSON."""
    usual = Asked()
    named = [each.name for each in fields(Asked) if each.name not in PER_LINE]
    given = {name: getattr(asked, name) for name in named if getattr(asked, name) != getattr(usual, name)}
    return {name: value.key if isinstance(value, Constraint) else value for name, value in given.items()}


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What two descriptions do not share, a sentence each."""

    def shown(terms: Mapping[str, object], name: str) -> str:
        return f"{json.dumps(terms[name], ensure_ascii=False):.60}" if name in terms else "not given"

    names = [*before, *(name for name in now if name not in before)]
    return [
        f"{name} was {shown(before, name)} and is {shown(now, name)}"
        for name in names
        if before.get(name) != now.get(name)
    ]
