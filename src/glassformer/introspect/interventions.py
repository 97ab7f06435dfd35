"""Interventions: what is to be changed while a model runs, as data.

Each names a site of the forward pass (`glassformer.introspect.sites`) and, by selectors, a part of the array there:

- `site`: a full name ("blocks.9.attn.hook_z"), a glob ("blocks.*.hook_resid_post"), or a short name ("z",
  "resid_post", "ln1.normalized", "logits"), which means every layer where `layer` does not pick some.
- `layer`: of the sites that `site` names.
- `head`: where there are heads.
- `neuron`: components of the last axis: neurons at `mlp.hook_pre` and `hook_post`, components of a vector elsewhere,
  token ids at `hook_logits`.
- `position`: absolute, from 0; negative ones count from the end of the prompt, and a slice without a stop goes on to
  what is generated. At `attn_scores` and `pattern`, of the query.
- `step`: 0 is the reading of the prompt, step s >= 1 that of the s-th generated token.
- `key`: at `attn_scores` and `pattern`, positions that are looked at, numbered as `position`. A key behind its query
  stays masked, whatever is asked: the model stays causal.

Each is a number, several, or a slice; None picks all. Several interventions on one place happen in the order in which
they are given; each sees what the one before left. Changed keys and values (`hook_k`, `hook_v`) are what a cache keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from glassformer.formats.strict_json import brief
from glassformer.introspect import numbers, selectors
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.selectors import Selector

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel
    from glassformer.generation.prompt import Prompt, Prompts

LONGEST_NAME = 200


@dataclass(frozen=True, eq=False)
class Intervention:
    """What all have in common: a site, and selectors of a part of it.

    Raises:
        IntrospectionError: for a selector or a number of a wrong kind. Whether a model has the site, and of which
            shape, is checked when it is given to one.
    """

    kind: ClassVar[str]
    carries: ClassVar[str | None] = None  # the field with numbers

    site: str
    layer: Selector = field(default=None, kw_only=True)
    head: Selector = field(default=None, kw_only=True)
    neuron: Selector = field(default=None, kw_only=True)
    position: Selector = field(default=None, kw_only=True)
    step: Selector = field(default=None, kw_only=True)
    key: Selector = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.site, str) or not 0 < len(self.site) <= LONGEST_NAME:
            raise IntrospectionError(f"site is {brief(self.site)}; it must be a name, like 'blocks.0.attn.hook_z'")
        for name in SELECTORS:
            object.__setattr__(self, name, selectors.checked(getattr(self, name), name))
        selectors.check_steps(self.step)
        if self.carries is not None:
            object.__setattr__(self, self.carries, self._checked(getattr(self, self.carries), self.carries))

    def _checked(self, value: object, name: str) -> Any:
        return numbers.checked(value, name)

    @property
    def given(self) -> dict[str, Selector]:
        """The selectors that pick something."""
        return {name: getattr(self, name) for name in SELECTORS if getattr(self, name) is not None}

    @property
    def carried(self) -> numbers.Float32 | None:
        """What is carried, as an array; None where nothing is."""
        return None if self.carries is None else np.asarray(getattr(self, self.carries), np.float32)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervention) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        carried = self.carried
        return self.kind, self.site, repr(self.given), carried is not None and (carried.shape, carried.tobytes())

    def to_python(self) -> str:
        """Python that gives an equal object, where the names of this module and `numbers.decoded` are known."""
        carried = self.carried
        parts = [repr(self.site)] + ([] if carried is None else [numbers.source(carried)])
        parts += [f"{name}={selectors.source(value)}" for name, value in self.given.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


SELECTORS = tuple(each.name for each in fields(Intervention) if each.name != "site")


@dataclass(frozen=True, eq=False)
class Zero(Intervention):
    """Set the selection to zero. At `pattern` the rest is not scaled up to a sum of one again."""

    kind = "zero"


@dataclass(frozen=True, eq=False)
class Scale(Intervention):
    """Multiply the selection by a number."""

    kind, carries = "scale", "factor"
    factor: float

    def _checked(self, value: object, name: str) -> Any:
        return numbers.checked_number(value, name)


@dataclass(frozen=True, eq=False)
class Add(Intervention):
    """Add to the selection: a steering vector, for instance (Turner et al. 2023, arXiv:2308.10248).

    Attributes:
        value: as in `Patch`.
    """

    kind, carries = "add", "value"
    value: npt.ArrayLike


@dataclass(frozen=True, eq=False)
class Patch(Intervention):
    """Set the selection to given numbers, for instance to those of another run (activation patching).

    Attributes:
        value: a number, or an array that broadcasts, by NumPy's rules, to what the same selectors pick from the array
            that `run_with_cache` gives for the site. Rows are given to the selected positions one after the other; if
            there are several, positions beyond them stay as they are.
    """

    kind, carries = "patch", "value"
    value: npt.ArrayLike


@dataclass(frozen=True, eq=False)
class Mean(Intervention):
    """Set the selection to a mean over other texts (mean ablation: it takes away what varies, and keeps the rest).

    Attributes:
        value: a mean row of the whole site ([n_head, head_dim] at `z`, [n_embd] at `resid_post`); the selectors say
            which part of it is used. `over` computes it.
    """

    kind, carries = "mean", "value"
    value: npt.ArrayLike

    @classmethod
    def over(
        cls,
        model: TextModel,
        texts: Prompt | Prompts,
        site: str,
        *,
        layer: int | None = None,
        head: Selector = None,
        neuron: Selector = None,
        position: Selector = None,
        step: Selector = None,
    ) -> Mean:
        """The intervention that sets a site to its mean over all tokens of some texts.

        Args:
            texts: text or ids, or a list of several.
            site, layer: of one site.
            head, neuron, position, step: what the intervention is about; the mean is over every position.

        Raises:
            IntrospectionError: for several sites, or one whose rows have no fixed size.
        """
        from glassformer.introspect.means import mean_row

        value = mean_row(model, texts, site, layer)
        return cls(site, value, layer=layer, head=head, neuron=neuron, position=position, step=step)


@dataclass(frozen=True, eq=False)
class Freeze(Intervention):
    """Hold the selection at what it was in another run, position by position (path patching does it to all heads but
    one).

    Attributes:
        source: the whole array of the site, as `run_with_cache` gives it for all positions of a text; the selectors
            say which part of it is used. Positions behind its last one stay as they are, and so do keys.
    """

    kind, carries = "freeze", "source"
    source: npt.ArrayLike


KINDS: dict[str, type[Intervention]] = {each.kind: each for each in (Zero, Mean, Add, Scale, Patch, Freeze)}

Interventions = Intervention | Sequence[Intervention]
