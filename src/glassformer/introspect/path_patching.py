"""Path patching: what a head does through one path, to chosen later heads or straight to the logits.

Wang et al. (2022), "Interpretability in the Wild", section 3.1; Goldowsky-Dill et al. (2023), "Localizing Model
Behavior with Path Patching". For each sending head:

1. run the clean text with that head's output as on the corrupted one and all other heads frozen to what they were, so
   that the change reaches the receivers straight through the residual stream (by way of the feed-forward networks too,
   where these are not frozen), and keep what goes into the receivers;
2. run the clean text with the receivers' inputs replaced by these, and everything after them computed anew.

With the logits as the receiver the first run is all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.introspect.cache import ActivationCache, full_name
from glassformer.introspect.capture import run_batch
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.metrics import Judge, Metric
from glassformer.introspect.patching import PatchSweep, Place, in_batches, pair, patch
from glassformer.introspect.positions import numbers
from glassformer.introspect.tokens import token_texts
from glassformer.introspect.variants import run_variants
from glassformer.models.observer import Edit

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Receiver:
    """A head, and which of its inputs takes what was sent: "q", "k" or "v"."""

    layer: int
    head: int
    input: str


def path_patch_sweep(
    model: TextModel,
    clean: Any,
    corrupted: Any,
    metric: Metric,
    receivers: Sequence[Receiver] | None = None,
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    freeze_mlps: bool = True,
    metric_at: int | None = -1,
) -> PatchSweep:
    """The metric of the clean text when each head, in turn, is as on the corrupted one along one path.

    Args:
        clean, corrupted, metric, metric_at: as of `patch_sweep`.
        receivers: heads, and which of their inputs; None: the logits.
        layers, heads: of the senders; None: all. A head that comes after all receivers changes nothing.
        freeze_mlps: whether feed-forward networks give what they gave; Wang et al. let them be computed anew.

    Raises:
        IntrospectionError: for texts of different lengths, layers or heads out of range, or a metric that is not
            finite.
        PromptError, ContextError: as `TextModel.logits`.
    """
    before, after = pair(model, clean, corrupted)
    judge, known = Judge(metric, metric_at, len(before)), checked(model, receivers)
    senders = numbers("layer", layers, model.config.n_layer), numbers("head", heads, model.config.n_head)
    sites = ["*.attn.hook_z", "*.hook_mlp_out", "*.hook_resid_pre"]
    ((whole, base),) = run_batch(model, [before], sites, last_only=judge.last_only)
    ((broken, source),) = run_batch(model, [after], sites[:1], last_only=judge.last_only)
    paths = Paths(model, base, source, known, freeze_mlps)
    values = np.full([len(axis) for axis in senders], judge(whole, "the clean run"))
    last = max((each.layer for each in known), default=model.config.n_layer)
    for row, layer in enumerate(senders[0]):
        if layer >= last:  # nobody is left to receive
            continue
        for group in in_batches(range(len(senders[1])), len(before), judge):
            several = paths.run(layer, [senders[1][i] for i in group], last_only=judge.last_only)
            values[row, group] = [judge(logits, f"senders of layer {layer}") for logits in several]
    return PatchSweep(
        "z", ["layer", "head"], list(senders), values, judge(whole, "the clean run"),
        judge(broken, "the corrupted run"), token_texts(model, before), token_texts(model, after),
    )  # fmt: skip


def checked(model: TextModel, receivers: Sequence[Receiver] | None) -> list[Receiver]:
    """The receivers, negative layers and heads counted from the end; none where these are the logits."""
    found = []
    for each in receivers or ():
        if each.input not in ("q", "k", "v"):
            raise IntrospectionError(f"a head has no input {each.input!r}; a receiver takes by q, k or v")
        layer, head = (
            numbers(name, [number], size)[0]
            for name, number, size in (
                ("layer", each.layer, model.config.n_layer), ("head", each.head, model.config.n_head)
            )
        )  # fmt: skip
        found.append(Receiver(layer, head, each.input))
    if receivers is not None and not found:
        raise IntrospectionError("there are no receivers; name heads, or give None for the logits")
    return found


class Paths:
    """Runs of one text in which heads send along paths.

    base: the run that everything is as in, but for what is sent; source: the run that senders are as in.
    """

    def __init__(
        self, model: TextModel, base: ActivationCache, source: ActivationCache, receivers: list[Receiver],
        freeze_mlps: bool,
    ) -> None:  # fmt: skip
        self.model, self.base, self.source, self.receivers = model, base, source, receivers
        self.sites = ("z", "mlp_out") if freeze_mlps else ("z",)

    def run(self, layer: int, senders: Sequence[int], *, last_only: bool) -> list[Float32]:
        """Logits with each of some heads of a layer as the sender: [1 or tokens, vocab_size]."""
        n_layer = self.model.config.n_layer
        reached = [each for each in self.receivers if each.layer > layer]
        names = [full_name((each.input, each.layer), n_layer) for each in reached]
        edits = [[*self.frozen(layer), patch("z", Place(layer, head), self.source)] for head in senders]
        runs = self.variants(layer, edits, list(dict.fromkeys(names)), last_only=last_only)
        if reached:
            edits = [[self.received(each, sent) for each in reached] for _, sent in runs]
            runs = self.variants(min(each.layer for each in reached), edits, (), last_only=last_only)
        return [logits for logits, _ in runs]

    def variants(
        self, layer: int, edits: Sequence[Sequence[Edit]], names: Sequence[str], *, last_only: bool
    ) -> list[tuple[Float32, ActivationCache]]:
        """Runs of the base's text from a layer on."""
        residual = self.base["resid_pre", layer]  # [tokens, n_embd]
        return run_variants(self.model, self.base.ids, layer, residual, edits, names, last_only=last_only)

    def frozen(self, layer: int) -> list[Edit]:
        """From a layer on, everything as it was."""
        layers = range(layer, self.model.config.n_layer)
        return [patch(site, Place(each), self.base) for each in layers for site in self.sites]

    def received(self, receiver: Receiver, sent: ActivationCache) -> Edit:
        """The change that gives a receiver the input that it was sent."""
        return patch(receiver.input, Place(receiver.layer, receiver.head), sent)
