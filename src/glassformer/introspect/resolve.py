"""From interventions, which speak of a prompt, to edits, which speak of absolute positions and runs of numbers.

An edit of the forward pass (`glassformer.models.observer.Edit`) changes one run of neighbouring numbers in the rows of
one site; an intervention becomes as many edits as it has sites and runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from glassformer.introspect import selectors
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.interventions import Add, Freeze, Intervention, Mean, Scale
from glassformer.introspect.numbers import Float32
from glassformer.introspect.places import components, heads, is_square, named_sites, runs
from glassformer.introspect.selectors import Int64, Selector, picks_one
from glassformer.introspect.sites import Site
from glassformer.models.config import GPT2Config
from glassformer.models.observer import Edit

Change = Literal["set", "add", "scale"]
Axis = tuple[int | None, bool]  # its size, None where it grows with the text; whether a number drops it


def resolve(config: GPT2Config, interventions: Sequence[Intervention], prompt_length: int) -> tuple[Edit, ...]:
    """The edits that interventions are for a prompt of so many tokens, in order.

    Raises:
        IntrospectionError: naming the site and what the model has, for a name, an index or a shape that does not fit.
    """
    return tuple(edit for each in interventions for edit in edits_of(config, each, prompt_length))


def edits_of(config: GPT2Config, intervention: Intervention, prompt_length: int) -> Iterator[Edit]:
    """The edits of one intervention."""
    for site in named_sites(config, intervention.site, intervention.layer):
        target = Target(site, intervention, prompt_length, config.n_positions)
        yield from squares(target) if is_square(site) else rows(target)


@dataclass(frozen=True)
class Target:
    """An intervention at one site, for one prompt."""

    site: Site
    intervention: Intervention
    prompt_length: int
    limit: int  # positions of the model

    @property
    def change(self) -> Change:
        """What happens to the numbers."""
        return (
            "scale" if isinstance(self.intervention, Scale) else "add" if isinstance(self.intervention, Add) else "set"
        )

    @property
    def factor(self) -> float:
        """Of a "scale"."""
        return self.intervention.factor if isinstance(self.intervention, Scale) else 1.0

    def positions(self) -> Int64:
        """The absolute positions that are picked, in order."""
        given = self.intervention
        found = selectors.positions(given.position, self.prompt_length, self.limit)
        if given.step is None:
            return found
        return found[selectors.steps(given.step, self.prompt_length, self.limit)[found]]

    def refuse(self, shape: tuple[int, ...], expected: str) -> IntrospectionError:
        """An error about the shape of what is carried."""
        kind, carries = self.intervention.kind, self.intervention.carries
        return IntrospectionError(f"{carries} of {kind} at {self.site.name} has shape {shape}; expected {expected}")


def rows(target: Target) -> Iterator[Edit]:
    """Edits at a site of shape [tokens, width] or [tokens, n_head, width]."""
    site, given = target.site, target.intervention
    if given.key is not None:
        raise IntrospectionError(f"{site.name} has no keys; leave `key` out")
    chosen, inner = heads(site, given.head), components(site, given.neuron)
    places = target.positions()
    width = site.axes[-1][1]
    numbers = [head * width + place for head in chosen for place in inner]
    if given.carried is None or isinstance(given, Scale):
        values = np.zeros((1, 1, 1), np.float32)
    elif isinstance(given, Freeze):
        source = frozen(target)
        places = places[places < len(source)]
        values = source.reshape(len(source), -1, width)[grid(places, chosen, inner)]
    elif isinstance(given, Mean):
        values = mean(target).reshape(1, -1, width)[grid([0], chosen, inner)]
    else:
        with_heads: list[Axis] = [(len(chosen), picks_one(given.head))] if len(site.axes) == 3 else []
        axes: list[Axis] = [(None, picks_one(given.position)), *with_heads, (len(inner), picks_one(given.neuron))]
        values = spread(target, axes).reshape(-1, len(chosen), len(inner))
    values, places = matched(target, values, places)
    yield from cut_into_runs(target, numbers, values, places)


def cut_into_runs(target: Target, numbers: Sequence[int], values: Float32, places: Int64) -> Iterator[Edit]:
    """An edit for each run of numbers in a row.

    values: [1 or rows, all numbers], or [1, 1, 1] for the same everywhere.
    """
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    where = absolute(target, places)
    for first, begin, count in runs(numbers):
        part = flat if flat.shape[1] == 1 else flat[:, first : first + count]
        yield edit(target, part, where, begin=begin, width=count)


def edit(
    target: Target, values: Float32, where: range | tuple[int, ...] | None, *, begin: int, width: int | None,
    head: int | None = None,
) -> Edit:  # fmt: skip
    """One edit with the target's change."""
    change = target.change
    values = values if len(values) else np.zeros((1, 1), np.float32)  # for no position at all
    carried = None if change == "scale" else np.ascontiguousarray(values, np.float32)
    return Edit(target.site.name, change, carried, target.factor, begin, width, head, where)


def absolute(target: Target, places: Int64) -> range | tuple[int, ...] | None:
    """Positions as an edit takes them: None for all, a range for a run, else a tuple."""
    if len(places) == target.limit and bool((places == np.arange(target.limit)).all()):
        return None
    if len(places) > 1 and bool((np.diff(places) == 1).all()):
        return range(int(places[0]), int(places[-1]) + 1)
    return tuple(places.tolist())


def matched(target: Target, values: Float32, places: Int64) -> tuple[Float32, Int64]:
    """Values [1 or rows, ...] and as many positions: several rows are for the first positions of an open selection.

    Raises:
        IntrospectionError: if positions are picked one by one, and the rows are not as many.
    """
    given, count = target.intervention, len(values)
    if count == 1:
        return values, places
    if counted(given.position) and given.step is None and count != len(places):
        raise target.refuse(shape_of(given), f"a row for each of the {len(places)} positions, or one for all")
    count = min(count, len(places))
    return values[: max(count, 1)], places[:count]


def grid(*axes: Sequence[int] | Int64) -> tuple[npt.NDArray[np.intp], ...]:
    """Indices of an array's part that takes some of each axis."""
    return np.ix_(*(np.array(axis, np.intp) for axis in axes))


def counted(selector: Selector) -> bool:
    """Whether it is known, whatever the prompt, how many positions are picked."""
    if isinstance(selector, slice):
        return selector.stop is not None and min(selector.stop, selector.start or 0) >= 0
    return selector is not None


def shape_of(given: Intervention) -> tuple[int, ...]:
    """The shape of what is carried."""
    return () if given.carried is None else given.carried.shape


def spread(target: Target, axes: Sequence[Axis]) -> Float32:
    """What is carried, broadcast to the picked part of the site's array; axes that numbers dropped have size 1.

    Raises:
        IntrospectionError: with both shapes, if NumPy's rules do not allow it.
    """
    carried = target.intervention.carried
    value = np.zeros((), np.float32) if carried is None else carried
    kept = [size for size, dropped in axes if not dropped]
    own = (1,) * (len(kept) - value.ndim) + value.shape
    shape = [own[i] if size is None else size for i, size in enumerate(kept)] if len(own) == len(kept) else []
    try:
        found = np.broadcast_to(value, shape)
    except ValueError:
        expected = ", ".join("any" if size is None else str(size) for size in kept)
        raise target.refuse(value.shape, f"one that broadcasts to [{expected}]") from None
    sizes = iter(found.shape)
    return found.reshape([1 if dropped else next(sizes) for _, dropped in axes])


def frozen(target: Target) -> Float32:
    """The array that a Freeze holds to, which must be the site's whole array of some text."""
    array = target.intervention.carried
    found = () if array is None else array.shape
    tokens = found[-1] if is_square(target.site) and found else found[0] if found else 0
    if array is None or found != target.site.shape(tokens):
        names = ", ".join(f"{name} {size}" if size else name for name, size in target.site.axes)
        raise target.refuse(found, f"the site's whole array, [{names}]")
    return array


def mean(target: Target) -> Float32:
    """The row of a Mean, which must be a whole row of the site."""
    array = target.intervention.carried
    expected = target.site.shape(1)[1:]
    if array is None or is_square(target.site) or array.shape != expected:
        if is_square(target.site):
            raise IntrospectionError(f"{target.site.name} has rows as long as the text, which have no mean; use Patch")
        raise target.refuse(shape_of(target.intervention), f"a whole row of the site, {expected}")
    return array


def squares(target: Target) -> Iterator[Edit]:
    """Edits at a site of shape [n_head, queries, keys]."""
    site, given = target.site, target.intervention
    if given.neuron is not None:
        raise IntrospectionError(f"{site.name} has no neurons; leave `neuron` out (`key` picks what is looked at)")
    chosen = heads(site, given.head)
    places = target.positions()
    keys = selectors.positions(given.key, target.prompt_length, target.limit)
    if given.carried is None or isinstance(given, Scale):
        values = np.zeros((1, 1, 1), np.float32)
    elif isinstance(given, Freeze):
        source = frozen(target)
        places, keys = places[places < source.shape[1]], keys[keys < source.shape[1]]
        values = source[grid(chosen, places, keys)]
    elif isinstance(given, Mean):
        values = mean(target)
    else:
        axes: list[Axis] = [(len(chosen), picks_one(given.head)), (None, picks_one(given.position))]
        values = spread(target, [*axes, (None, picks_one(given.key))])
        keys = matched_keys(target, values.shape[-1], keys)
    moved, places = matched(target, values.swapaxes(0, 1), places)  # [1 or rows, 1 or heads, 1 or keys]
    yield from square_edits(target, chosen, moved, places, keys)


def matched_keys(target: Target, count: int, keys: Int64) -> Int64:
    """The keys for so many numbers: all for one, the first of an open selection for several."""
    if count == 1:
        return keys
    if count > len(keys) or (counted(target.intervention.key) and count != len(keys)):
        raise target.refuse(shape_of(target.intervention), f"a number for each of the {len(keys)} keys, or one for all")
    return keys[:count]


def square_edits(
    target: Target, chosen: Sequence[int], values: Float32, places: Int64, keys: Int64
) -> Iterator[Edit]:  # fmt: skip
    """An edit for each head and run of keys, or for all heads in one.

    values: [1 or rows, 1 or heads, 1 or keys].
    """
    every = len(chosen) == dict(target.site.axes)["n_head"] and tuple(chosen) == tuple(range(len(chosen)))
    where = absolute(target, places)
    for first, begin, count in runs(keys.tolist()):
        part = values if values.shape[-1] == 1 else values[..., first : first + count]
        width = None if begin + count == target.limit else count
        if every:
            joint = part[:, 0] if part.shape[1] == 1 else part
            yield edit(target, joint, where, begin=begin, width=width)
            continue
        for place, head in enumerate(chosen):
            own = part[:, min(place, part.shape[1] - 1)]
            yield edit(target, own, where, begin=begin, width=width, head=head)
