"""The observer that captures and edits: by launches, whose inputs are arrays that each pass fills anew."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config
from glassformer.models.editing import Run, check_edit, fill_change
from glassformer.models.observer import Observation, Resume
from glassformer.models.sites import site_places
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.batch import Form
from glassformer.runtime.capture import Change, Square, Target
from glassformer.runtime.engine import Ops
from glassformer.runtime.frames import Frame, FrameLayout, Place, empty_table

Float32 = npt.NDArray[np.float32]
X = TypeVar("X")


class Look(NamedTuple):
    """An observation with the frame that it fills; places: of the model's sites."""

    observation: Observation
    frame: Frame | None
    places: Mapping[str, Place]


class Inputs:
    """What an observed pass reads beside its batch, for one form and all observations of one key.

    memory, values, residual: those of this very look where it is `real`; else what stands for those of any.
    """

    def __init__(self, form: Form, look: Look, *, real: bool) -> None:
        observation, frame = look.observation, look.frame
        resume = observation.resume
        self.values = observation.values[0] if real else np.zeros(1, np.float32)
        self.memory = frame.whole if real and frame is not None else np.zeros(1, np.float32)
        width = 0 if resume is None else resume.residual.shape[1]
        self.residual = resume.residual if real and resume is not None else np.zeros((1, width), np.float32)
        self.rows = np.zeros(form.rows, np.int32)  # of the residual
        self.table = empty_table(len(observation.names))
        self.targets = np.full(form.rows, -1)
        self.changes = [
            (site, Change.nothing(form.rows, prod(look.places[site].shape), self.values))
            for site, _ in observation.slots
        ]
        self.layout: FrameLayout | None = None

    def fill(self, look: Look, runs: Sequence[Run]) -> None:
        """Write what is to be kept and changed in the rows of a pass."""
        if look.frame is not None:
            self._fill_targets(look.frame, runs)
        if look.observation.resume is not None:
            rows = [run.row + i for run in runs for i in range(run.tokens)]
            self.rows[: len(rows)] = rows
            self.rows[len(rows) :] = 0
        for (_, change), (_, numbers) in zip(self.changes, look.observation.slots, strict=True):
            fill_change(change, look.observation, numbers, runs)

    def _fill_targets(self, frame: Frame, runs: Sequence[Run]) -> None:
        if self.layout is not frame.layout:
            self.table[:] = frame.layout.table
            self.layout = frame.layout
        frame.fill(self.table)
        if frame.kept is None and len(self.targets) == 1:  # the step of a single sequence, which should cost little
            self.targets[0] = 0
            frame.check(0, runs[0].past + 1)
            return
        row = 0
        for part, first, past, count in runs:
            self.targets[row : row + count] = frame.targets(part, first, past, count)
            row += count
        self.targets[row:] = -1
        frame.check(int(self.targets.max()), max(run.past + run.tokens for run in runs))


class Observing:
    """Captures and edits in one pass, recorded or run at once.

    call: see `Observation`; keys: that a row looks at, at most, for what is given to it.
    """

    def __init__(self, observation: Observation, inputs: Inputs, rows: int = 0, keys: int = 0) -> None:
        self.inputs, self.rows, self.keys = inputs, rows, keys
        self.called, self.call = observation.called, observation.call
        self.start = None if observation.resume is None else observation.resume.layer
        self.names = {name: number for number, name in enumerate(observation.names)}
        self.changed = {site for site, _ in observation.slots} | observation.called

    def wants(self, site: str) -> bool:
        return site in self.names or site in self.changed

    def changes(self, site: str) -> bool:
        return site in self.changed

    def target(self, site: str) -> Target | None:
        if site not in self.names:
            return None
        return Target(self.inputs.memory, self.inputs.table, self.inputs.targets, self.names[site])

    def residual(self, ops: Ops) -> Float32:
        return ops.embedding(self.inputs.residual, self.inputs.rows)  # [rows, n_embd]: a copy, which may be changed

    def end(self, ops: Ops) -> None:
        if self.names and len(self.inputs.targets) == 1:
            ops.next_frame(self.inputs.table)

    def see(self, ops: Ops, site: str, x: X) -> X:
        if not self.wants(site):
            return x
        value: Any = x
        for name, change in self.inputs.changes:
            if name == site:
                ops.edit(value, change)
        if site in self.called and self.call is not None:
            self._call(site, value)
        target = self.target(site)
        if target is not None:
            ops.keep(value, target)
        return x

    def _call(self, site: str, x: Float32 | Square) -> None:
        """Give a value to the function, and write what it returns in its place."""
        assert self.call is not None
        view = x.data[:, : self.rows, : self.keys] if isinstance(x, Square) else x[: self.rows]
        found = self.call(site, view.copy())
        if found is None:
            return
        if np.shape(found) != view.shape:
            raise ShapeError(f"{site}: a function returned {np.shape(found)} for {view.shape}; return as much, or None")
        view[...] = found


class Looks:
    """What can be looked at in a model, and whether a look is possible; the latest one is not checked twice."""

    def __init__(self, config: GPT2Config) -> None:
        self.config = config
        self.checked: tuple[weakref.ref[Observation], weakref.ref[Float32] | None] | None = None

    @cached_property
    def places(self) -> dict[str, Place]:
        """The sites, and the shape of what is found at each."""
        return site_places(self.config)

    def check(self, look: Look, tokens: int) -> None:
        """Refuse sites that a pass does not come by, and edits that reach beyond a row: kernels look at neither.

        tokens: of the batch.

        Raises:
            ShapeError: with what was found and what there is.
        """
        observation, frame = look.observation, look.frame
        memory = None if frame is None else frame.whole
        if observation.resume is not None:
            check_resume(observation, observation.resume, self.config, tokens)
        known = self.checked
        if known is not None and known[0]() is observation and (known[1] and known[1]()) is memory:
            return
        if frame is not None:
            frame.check_memory()
        for site in observation.sites:
            if site not in self.places:
                raise ShapeError(f"there is no site {site!r} in this model; model.sites() names them")
        kept = {} if frame is None else frame.layout.places
        if tuple(kept) != observation.names or any(kept[name] != self.places[name] for name in kept):
            raise ShapeError(f"a frame for {len(kept)} sites meets an observation of {len(observation.names)}")
        for edit in observation.edits:
            check_edit(edit, self.places[edit.site])
        self.checked = weakref.ref(observation), None if memory is None else weakref.ref(memory)

    def check_steps(self, look: Look, count: int) -> None:
        """Refuse what does not go step after step without coming back to Python.

        Raises:
            ShapeError: for functions, for changes, which are said anew for each step, or for too few frames.
        """
        self.check(look, count)
        observation, frame = look.observation, look.frame
        if observation.call is not None or observation.edits or observation.resume is not None:
            raise ShapeError("steps that follow one another at once are captured and not changed; use forward for each")
        if frame is not None and (frame.steps < count or frame.kept is not None or frame.layout.rows != 1):
            raise ShapeError(
                f"{count} steps need as many frames of a row; found {frame.steps} of {frame.layout.rows}"
            )


def check_resume(observation: Observation, resume: Resume, config: GPT2Config, tokens: int) -> None:
    """Refuse a start that is not in the model, or sites before it."""
    if not 0 <= resume.layer <= config.n_layer or resume.residual.shape != (tokens, config.n_embd):
        raise ShapeError(
            f"resume: layer {resume.layer} with a residual {resume.residual.shape}; expected a layer up to "
            f"{config.n_layer} and a residual ({tokens}, {config.n_embd}), a row for each token of the batch"
        )
    skipped = [site for site in observation.sites if before(site, resume.layer)]
    if skipped:
        raise ShapeError(f"{skipped[0]} is not computed by a pass that starts at layer {resume.layer}")


def before(site: str, layer: int) -> bool:
    """Whether a site comes before the residual stream of a layer."""
    parts = site.split(".")
    return site in ("hook_embed", "hook_pos_embed") or (parts[0] == "blocks" and int(parts[1]) < layer)
