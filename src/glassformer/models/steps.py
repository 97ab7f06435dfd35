"""A network's forward passes as plans: one for each form of batch, recorded when first met and replayed after."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.models.editing import Run
from glassformer.models.observer import UNOBSERVED, Observer
from glassformer.models.observing import Inputs, Look, Observing
from glassformer.runtime.batch import Batch, Form, Part
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.memory import Scratch
from glassformer.runtime.plan import Plan, Recorder
from glassformer.runtime.sampling import Sampler

Float32 = npt.NDArray[np.float32]
Forward = Callable[[Ops, Batch, Observer], Float32]

FEW = 8  # rows, for which a pass does little but read the weights
KEPT_BYTES = 16 << 20  # of plans that wait to be used again


@dataclass(frozen=True, eq=False)
class Step:
    """A recorded pass: the batch that it reads and the logits that it writes, [rows of logits, vocab_size].

    inputs: what it reads besides, if it is observed. nbytes: of what it has alone.
    """

    batch: Batch
    plan: Plan
    logits: Float32
    inputs: Inputs | None
    nbytes: int

    def point(self, parts: Sequence[Part], look: Look | None, runs: Sequence[Run]) -> None:
        """Let the plan be that of these sequences and of this look."""
        self.batch.fill(parts)
        self.plan.point(self.batch.memory, parts[0][1].pool.memory)
        if look is None or self.inputs is None:
            return
        self.inputs.fill(look, runs)
        if look.frame is not None:
            self.plan.point(self.inputs.memory, look.frame.whole)
        if look.observation.edits:
            self.plan.point(self.inputs.values, look.observation.values[0])
        if look.observation.resume is not None:
            self.plan.point(self.inputs.residual, look.observation.resume.residual)


class Steps:
    """The plans of one network, the latest used ones kept."""

    def __init__(self, executor: Eager, forward: Forward) -> None:
        """forward: a method of the network, which is not kept alive: whoever drops it gets its weights' memory at once,
        not when Python next looks for cycles.
        """
        self.executor, self.forward = executor, weakref.WeakMethod(forward)
        self.kept = KEPT_BYTES  # more where batches of many forms take turns
        self.steps: OrderedDict[Hashable, Step] = OrderedDict()
        self.turn = threading.Lock()  # plans have one set of buffers, all of them together
        # Buffers lie in one memory, and so do logits of several texts, which are copied before the next pass: a plan
        # more takes little. Those of all rows of a text would take much, for good.
        self.scratch, self.read = Scratch(), Scratch()

    def run(self, form: Form, parts: Sequence[Part], look: Look | None = None, runs: Sequence[Run] = ()) -> Float32:
        """The logits of a batch of this form, in an array of the caller's own; `runs`: its sequences, for the look."""
        with self.turn:
            step = self.find(form, look)
            step.point(parts, look, runs)
            step.plan.replay()
            return step.logits[: len(parts) if form.last_only else form.rows].copy()

    def decode(
        self, form: Form, part: Part, sampler: Sampler, count: int, look: Look | None = None, runs: Sequence[Run] = ()
    ) -> None:
        """Pass after pass over one row, each over the token that the one before it led to."""
        with self.turn:
            step = self.find(form, look)
            step.point([part], look, runs)
            step.plan.replay(count, sampler.behind(step.logits, step.batch.ids, step.batch.positions, step.batch.tiles))

    def find(self, form: Form, look: Look | None = None) -> Step:
        """The plan for a form, and for the sites that are looked at."""
        key = form if look is None else (form, look.observation.key)
        if key in self.steps:
            self.steps.move_to_end(key)
        else:
            self.steps[key] = self.record(form, look)
            self.forget()
            if len(self.steps) > 1:  # not before the first token, which somebody waits for
                self.executor.give_back()
        return self.steps[key]

    def record(self, form: Form, look: Look | None) -> Step:
        """Run the forward pass once on a recorder, with something that stands for the caches' memory."""
        recorder = Recorder(self.executor, reading=form.rows <= FEW)
        batch = Batch.empty(form, np.zeros(1, np.uint8))
        inputs = None if look is None else Inputs(form, look, real=False)
        observer = UNOBSERVED if look is None or inputs is None else Observing(look.observation, inputs)
        forward = self.forward()
        assert forward is not None, "the network outlives its plans"
        logits = forward(Ops(recorder), batch, observer)
        plan = recorder.plan([logits], batch.tiles, self.scratch)
        shared = look is None and form.last_only and len(logits) > 1 and not self.executor.as_python
        if shared:
            stand_in, nbytes = logits, logits.nbytes
            logits = self.read.room(nbytes)[:nbytes].view(np.float32).reshape(stand_in.shape)
            plan.point(stand_in, logits)
        return Step(batch, plan, logits, inputs, plan.nbytes + (0 if shared else logits.nbytes))

    def forget(self) -> None:
        """Drop the plans that were not used for longest, beyond what may be kept. The newest stays."""
        sizes = [step.nbytes for step in self.steps.values()]
        while sum(sizes) > self.kept and len(sizes) > 1:
            self.steps.popitem(last=False)
            sizes.pop(0)


def run_now(
    ops: Ops, forward: Forward, form: Form, parts: Sequence[Part], look: Look | None, runs: Sequence[Run]
) -> Float32:
    """The same without a plan: operation by operation, so that functions can be called between."""
    batch = Batch.empty(form, parts[0][1].pool.memory)
    batch.fill(parts)
    if look is None:
        return forward(ops, batch, UNOBSERVED)
    inputs = Inputs(form, look, real=True)
    inputs.fill(look, runs)
    rows, keys = sum(run.tokens for run in runs), max(run.past + run.tokens for run in runs)
    return forward(ops, batch, Observing(look.observation, inputs, rows, keys))
