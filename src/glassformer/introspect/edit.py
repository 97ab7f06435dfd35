"""A model whose forward pass is changed: for the length of a block, or as a model of its own beside the first.

The weights are never touched. The interventions become edits of each pass (`glassformer.models.observer.Edit`), by the
absolute positions of its tokens and the length of each sequence's prompt, so what happens to a token does not depend on
how a prompt is cut into passes, on what else is in its batch, or on guesses that are read ahead.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.interventions import Intervention
from glassformer.introspect.networks import network_of
from glassformer.introspect.resolve import resolve
from glassformer.models.config import GPT2Config
from glassformer.models.observer import Edit, Observation, Resume
from glassformer.models.observing import before
from glassformer.runtime.frames import Frame
from glassformer.runtime.kv_cache import KVCache

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel
    from glassformer.models.gpt2 import GPT2

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
ModelT = TypeVar("ModelT", bound="TextModel")
Part = tuple[Int32, KVCache]

SHARED = frozenset(("weights", "ops", "layout", "places", "steps", "keep_plans", "scale", "epsilon"))
KEPT = 64  # lengths of prompts whose edits are kept
# Sites that are exposed by other kernels than the fused ones, which round differently: a network that changes one of
# them takes those kernels in every pass, whether or not it has a position to change, or tokens would depend on chunks.
REROUTED = ("attn.hook_attn_scores", "attn.hook_pattern", "attn.hook_result")


@dataclass(frozen=True, eq=False)
class Placed:
    """An edit, and the positions from the first to behind the last that it is about."""

    edit: Edit
    first: int
    end: int

    def concerns(self, begin: int, end: int) -> bool:
        """Whether a pass over these positions needs it."""
        return (self.first < end and begin < self.end) or self.edit.site.endswith(REROUTED)


def placed(edit: Edit, limit: int) -> Placed:
    """An edit with its bounds among so many positions."""
    if edit.positions is None:
        return Placed(edit, 0, limit)
    return Placed(edit, min(edit.positions, default=limit), max(edit.positions, default=-1) + 1)


class EditedNetwork:
    """A network whose forward pass interventions change; everything else is the network's own.

    Raises:
        IntrospectionError: if an intervention does not fit the model.
    """

    def __init__(self, network: GPT2, interventions: Sequence[Intervention]) -> None:
        self.network, self.interventions = network, tuple(interventions)
        self.edits: dict[int, tuple[Placed, ...]] = {}  # by the length of the prompt
        self.observations: dict[Hashable, Observation] = {}
        resolve(network.config, self.interventions, network.config.n_positions)  # for its errors

    def __getattr__(self, name: str) -> Any:
        """What no intervention changes: weights, operations, sizes. What computes must come by the interventions."""
        if name not in SHARED:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.network, name)

    @property
    def config(self) -> GPT2Config:
        """Sizes and special ids of the model."""
        return self.network.config

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for so many tokens."""
        return self.network.new_cache(capacity)

    def new_caches(self, capacities: Sequence[int]) -> list[KVCache]:
        """Empty caches that can be read and written in one batch."""
        return self.network.new_caches(capacities)

    def forward(
        self,
        ids: Int32,
        cache: KVCache,
        *,
        last_only: bool = True,
        observation: Observation | None = None,
        frame: Frame | None = None,
    ) -> Float32:
        """As the network's, with the interventions."""
        return self.forward_batch([(ids, cache)], last_only=last_only, observation=observation, frame=frame)

    def forward_batch(
        self,
        parts: Sequence[Part],
        *,
        last_only: bool = True,
        observation: Observation | None = None,
        frame: Frame | None = None,
    ) -> Float32:
        """As the network's, with the interventions, which come before the edits of an observation."""
        ours = self.observation(parts)
        if observation is None or not ours.edits:
            observation = ours if observation is None and ours.edits else observation
        else:
            known = resumed(ours.edits, observation.resume)
            observation = replace(observation, edits=(*known, *observation.edits))
        return self.network.forward_batch(parts, last_only=last_only, observation=observation, frame=frame)

    def observation(self, parts: Sequence[Part]) -> Observation:
        """The edits of a pass over these tokens; the same object for passes with the same edits."""
        needed: list[tuple[int, tuple[int, ...]]] = []  # of each sequence: the prompt's length, and which edits
        for ids, cache in parts:
            begin, end = cache.length, cache.length + len(ids)
            if cache.prompt_length is None and len(ids):  # what is read first is the prompt
                cache.prompt_length = end
            length = cache.prompt_length or 0
            edits = self.of_prompt(length)
            needed.append((length, tuple(i for i, each in enumerate(edits) if each.concerns(begin, end))))
        key = tuple(needed)
        if key not in self.observations:
            make_room(self.observations)
            self.observations[key] = Observation(edits=self.joined(key))
        return self.observations[key]

    def joined(self, needed: Sequence[tuple[int, tuple[int, ...]]]) -> tuple[Edit, ...]:
        """The edits for the sequences of a batch, each intervention's for all of them before those of the next."""
        several = [[self.of_prompt(length)[i].edit for i in chosen] for length, chosen in needed]
        if len(set(needed)) == 1:
            return tuple(several[0])
        return tuple(
            replace(edit, part=part) for edits in zip_longest(*several) for part, edit in enumerate(edits) if edit
        )

    def of_prompt(self, length: int) -> tuple[Placed, ...]:
        """The edits for a prompt of so many tokens."""
        if length not in self.edits:
            edits = resolve(self.config, self.interventions, length)
            make_room(self.edits)
            self.edits[length] = tuple(placed(edit, self.config.n_positions) for edit in edits)
        return self.edits[length]


def make_room(known: dict[Any, Any]) -> None:
    """Forget what is known for longest, if that is much."""
    if len(known) >= KEPT:
        del known[next(iter(known))]


def resumed(edits: Sequence[Edit], resume: Resume | None) -> tuple[Edit, ...]:
    """Edits without those of what a pass does not compute, because it starts behind it."""
    if resume is None:
        return tuple(edits)
    return tuple(edit for edit in edits if not before(edit.site, resume.layer))


def edited_network(model: TextModel, interventions: Sequence[Intervention]) -> EditedNetwork:
    """The model's network with interventions, behind those that it has already.

    Raises:
        IntrospectionError: for anything but interventions, or some that do not fit the model.
    """
    wrong = next((each for each in interventions if not isinstance(each, Intervention)), None)
    if wrong is not None:
        raise IntrospectionError(
            f"{wrong!r:.80} is no intervention; give Zero, Mean, Add, Scale, Patch or Freeze, each as an argument"
        )
    network: GPT2 | EditedNetwork = network_of(model)
    if isinstance(network, EditedNetwork):
        return EditedNetwork(network.network, (*network.interventions, *interventions))
    return EditedNetwork(network, interventions)


def edited(model: ModelT, interventions: Sequence[Intervention]) -> ModelT:
    """Another model over the same weights, with interventions."""
    return type(model)(edited_network(model, interventions), model.tokenizer, model.recommended)


@contextmanager
def edit(model: ModelT, interventions: Sequence[Intervention]) -> Iterator[ModelT]:
    """Change the model itself for the length of a block.

    Raises:
        IntrospectionError: if an intervention does not fit, or blocks end in another order than they began.
    """
    before = model.network
    model.network = within = edited_network(model, interventions)
    try:
        yield model
    finally:
        ours, model.network = model.network is within, before
    if not ours:
        raise IntrospectionError(
            "blocks of edits on one model overlap; nest them, or use `edited` to have a model each"
        )
