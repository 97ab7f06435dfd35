"""Texts that have been run through the model, kept with everything that was computed on the way."""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.server.errors import RequestError

if TYPE_CHECKING:
    from glassformer.introspect.cache import ActivationCache
    from glassformer.model import Model

Float32 = npt.NDArray[np.float32]
SQUARES = ("attn.hook_attn_scores", "attn.hook_pattern", "attn.hook_result")  # made when somebody looks


@dataclass(eq=False)
class Run:
    """A text, what the model made of it, and what was changed meanwhile.

    Attributes:
        model: with the changes.
        logits: [tokens, vocab_size].
        interventions: the changes as JSON; empty for the model as it is.
        seconds: that the run took.
        limit: bytes that may be captured.
        derived: what was computed from it since, by name.
    """

    id: str
    model: Model
    ids: tuple[int, ...]
    logits: Float32
    interventions: tuple[dict[str, Any], ...]
    seconds: float
    limit: int
    derived: dict[str, Float32] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        cache = self.cache.nbytes if "cache" in vars(self) else 0
        return self.logits.nbytes + cache + sum(each.nbytes for each in self.derived.values())

    @cached_property
    def cache(self) -> ActivationCache:
        """Every site but `SQUARES`, of another run where the first did not capture them."""
        return self.model.run_with_cache(list(self.ids), row_sites(self.model), limit=self.limit)[1]

    def site(self, name: str) -> Float32:
        """The array of a site, captured now if it was not at first."""
        if name in self.cache:
            return self.cache[name]
        return self.model.run_with_cache(self.ids, name)[1][name]


def row_sites(model: Model) -> list[str]:
    """The sites that are captured: all but those that are made when somebody looks, and the logits, which are kept."""
    names = (site.name for site in model.sites() if not site.name.endswith(SQUARES))
    return [name for name in names if name != "hook_logits"]


class Runs:
    """The latest runs, within a number of bytes; the newest always stays, and may itself have `largest` bytes."""

    def __init__(self, limit: int, largest: int) -> None:
        self.limit, self.largest = limit, largest
        self.runs: OrderedDict[str, Run] = OrderedDict()
        self.known: dict[str, str] = {}  # what was asked -> the run's id

    def find(self, run: str) -> Run:
        """A run by its id.

        Raises:
            RequestError: there is none, or not any more.
        """
        if run not in self.runs:
            message = f"there is no run {run[:40]!r}, or it was dropped to make room; run the text again"
            raise RequestError(message, status=404, param="run", code="run_unknown")
        self.runs.move_to_end(run)
        return self.runs[run]

    def run(self, model: Model, ids: Sequence[int], interventions: Sequence[dict[str, Any]]) -> Run:
        """Run a text, unless that has been done; `model` has the interventions.

        Where something is changed, what follows for the next token is asked first, and the rest perhaps not at all: the
        sites are captured when somebody looks.
        """
        key = json.dumps([list(ids), list(interventions)])
        if key in self.known:
            return self.find(self.known[key])
        start = time.perf_counter()
        cache = None
        if interventions:
            logits = model.logits(list(ids))
        else:
            logits, cache = model.run_with_cache(list(ids), row_sites(model), limit=self.largest)
        seconds = time.perf_counter() - start
        run = secrets.token_hex(8)
        found = Run(run, model, tuple(ids), logits, tuple(interventions), seconds, self.largest)
        if cache is not None:
            found.cache = cache
        self.runs[found.id], self.known[key] = found, found.id
        self.trim()
        return found

    def trim(self) -> None:
        """Drop the runs that were not looked at for longest, beyond the bytes that may be held."""
        while len(self.runs) > 1 and sum(run.nbytes for run in self.runs.values()) > self.limit:
            gone, _ = self.runs.popitem(last=False)
            self.known = {key: run for key, run in self.known.items() if run != gone}
