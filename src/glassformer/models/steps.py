"""A network's forward passes as plans: one for each form of batch, recorded when first met and replayed after."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassformer.runtime.batch import Batch, Form, Part
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.plan import Plan, Recorder
from glassformer.runtime.sampling import Sampler

Float32 = npt.NDArray[np.float32]
Forward = Callable[[Ops, Batch], Float32]

FEW = 8  # rows, for which a pass does little but read the weights
KEPT_BYTES = 16 << 20  # of buffers, in plans that wait to be used again


@dataclass(frozen=True, eq=False)
class Step:
    """A recorded pass: the batch that it reads and the logits that it writes, [rows of logits, vocab_size]."""

    batch: Batch
    plan: Plan
    logits: Float32


class Steps:
    """The plans of one network, the latest used ones kept."""

    def __init__(self, executor: Eager, forward: Forward) -> None:
        self.executor, self.forward = executor, forward
        self.steps: OrderedDict[Form, Step] = OrderedDict()
        self.turn = threading.Lock()  # plans have one set of buffers

    def run(self, form: Form, parts: Sequence[Part]) -> Float32:
        """The logits of a batch of this form, in an array of the caller's own."""
        with self.turn:
            step = self.find(form)
            step.batch.fill(parts)
            step.plan.point(step.batch.memory, parts[0][1].pool.memory)
            step.plan.replay()
            return step.logits[: len(parts) if form.last_only else form.rows].copy()

    def decode(self, form: Form, part: Part, sampler: Sampler, count: int) -> None:
        """Pass after pass over one row, each over the token that the one before it led to."""
        with self.turn:
            step = self.find(form)
            step.batch.fill([part])
            step.plan.point(step.batch.memory, part[1].pool.memory)
            step.plan.replay(count, sampler.behind(step.logits, step.batch.ids, step.batch.positions, step.batch.tiles))

    def find(self, form: Form) -> Step:
        """The plan for a form."""
        if form in self.steps:
            self.steps.move_to_end(form)
        else:
            self.steps[form] = self.record(form)
            self.forget()
            if len(self.steps) > 1:  # not before the first token, which somebody waits for
                self.executor.give_back()
        return self.steps[form]

    def record(self, form: Form) -> Step:
        """Run the forward pass once on a recorder, with something that stands for the caches' memory."""
        recorder = Recorder(self.executor, reading=form.rows <= FEW)
        batch = Batch.empty(form, np.zeros(1, np.uint8))
        logits = self.forward(Ops(recorder), batch)
        return Step(batch, recorder.plan([logits], batch.tiles), logits)

    def forget(self) -> None:
        """Drop the plans that were not used for longest, beyond what may be kept. The newest stays."""
        sizes = [step.plan.nbytes + step.logits.nbytes for step in self.steps.values()]
        while sum(sizes) > KEPT_BYTES and len(sizes) > 1:
            self.steps.popitem(last=False)
            sizes.pop(0)
