"""Activation patching: which activations of one run, put into another, make it end like the first.

Meng et al. (2022), "Locating and Editing Factual Associations in GPT" (causal tracing); Wang et al. (2022),
"Interpretability in the Wild". A model runs on a clean text and on a corrupted one of the same length; then on the
corrupted one again and again, each time with one activation as it was on the clean text. Variants run as batches, and
start from the residual stream of the layer that they patch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glassformer.introspect.cache import ActivationCache, full_name
from glassformer.introspect.capture import run_batch
from glassformer.introspect.errors import IntrospectionError
from glassformer.introspect.html import heatmap
from glassformer.introspect.metrics import Judge, Metric
from glassformer.introspect.positions import Positions, absolute_positions, numbers
from glassformer.introspect.results import Result
from glassformer.introspect.tokens import text_ids, token_texts
from glassformer.introspect.variants import ROWS, ROWS_OF_LOGITS, run_variants
from glassformer.models.observer import Edit

if TYPE_CHECKING:
    from glassformer.generation.model import TextModel

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

HEADED, SQUARE = ("q", "k", "v", "z"), ("attn_scores", "pattern")
PLAIN = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "pre", "post")


@dataclass(frozen=True, eq=False)
class PatchSweep(Result):
    """What a metric becomes when one activation after the other is as in another run.

    Attributes:
        site: what was patched, by its short name.
        over: names of the axes of `values`.
        axes: the layers, heads and positions along each of them.
        values: the metric of each variant.
        clean, corrupted: the metric of the two runs.
        clean_tokens, corrupted_tokens: their texts.
    """

    site: str
    over: list[str]
    axes: list[list[int]]
    values: Float64
    clean: float
    corrupted: float
    clean_tokens: list[str]
    corrupted_tokens: list[str]

    @property
    def normalised(self) -> Float64:
        """The same with 0 for the corrupted run and 1 for the clean one; NaN where both have one metric."""
        span = self.clean - self.corrupted
        return (self.values - self.corrupted) / span if span else np.full_like(self.values, np.nan)

    def _repr_html_(self) -> str:
        """A map of the sweep: how far each variant brings the corrupted run to the clean one, or the metric itself."""
        told = "0: as corrupted, 1: as clean" if self.clean != self.corrupted else "the metric"
        shown = self.normalised if self.clean != self.corrupted else self.values
        label = f"{self.site} patched over {', '.join(self.over)} ({told}); clean {self.clean:.3f}, corrupted"
        rows, *rest = ([f"{name} {number}" for number in axis] for name, axis in zip(self.over, self.axes, strict=True))
        columns = [", ".join(each) for each in product(*rest)] if rest else ["whole"]
        flat = shown.reshape(len(rows), -1)
        return heatmap(flat, label=f"{label} {self.corrupted:.3f}", rows=rows, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain values, and `normalised` beside them."""
        return {**super().to_dict(), "normalised": self.normalised.tolist() if self.clean != self.corrupted else None}


@dataclass(frozen=True)
class Place:
    """What one variant patches; None: all heads, all positions."""

    layer: int
    head: int | None = None
    position: int | None = None


def patch_sweep(
    model: TextModel,
    clean: Any,
    corrupted: Any,
    metric: Metric,
    site: str = "z",
    over: Sequence[str] = ("layer", "head"),
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    positions: Positions = None,
    metric_at: int | None = -1,
) -> PatchSweep:
    """Put one activation after the other of the clean run into the corrupted one.

    Args:
        clean, corrupted: texts, or ids, of as many tokens.
        metric: a function of logits [1, vocab_size] at `metric_at`, such as `logit_difference` makes.
        site: "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "q", "k", "v", "z", "attn_scores",
            "pattern", "pre" or "post".
        over: axes of the sweep, "layer" and, where the site has them, "head" and "position" (of the queries, where a
            site has keys too). What is not swept over is patched whole.
        layers, heads, positions: that are swept over; None: all.
        metric_at: position of the logits that the metric gets; None: it gets all, [tokens, vocab_size].

    Raises:
        IntrospectionError: for texts of different lengths, axes that a site does not have, layers, heads or positions
            out of range, or a metric that is not finite.
        PromptError, ContextError: as `TextModel.logits`.
    """
    before, after = pair(model, clean, corrupted)
    judge = Judge(metric, metric_at, len(before))
    axes = axes_of(model, site, over, {"layer": layers, "head": heads}, positions, len(before))
    used = sorted(set(axes[list(over).index("layer")]))
    whole, source = run(model, before, site, used, judge)
    broken, base = run(model, after, "resid_pre", used, judge)
    values = np.zeros([len(axis) for axis in axes])
    places = [Place(**dict(zip(over, found, strict=True))) for found in product(*axes)]
    for layer in used:
        chosen = [number for number, place in enumerate(places) if place.layer == layer]
        for group in in_batches(chosen, len(before), judge):
            edits = [[patch(site, places[number], source)] for number in group]
            runs = run_variants(model, after, layer, base["resid_pre", layer], edits, last_only=judge.last_only)
            values.flat[group] = [judge(logits, str(places[i])) for i, (logits, _) in zip(group, runs, strict=True)]
    return PatchSweep(
        site, list(over), axes, values, judge(whole, "the clean run"), judge(broken, "the corrupted run"),
        token_texts(model, before), token_texts(model, after),
    )  # fmt: skip


def pair(model: TextModel, clean: Any, corrupted: Any) -> tuple[list[int], list[int]]:
    """The ids of two texts of one length."""
    before, after = text_ids(model, clean, "the clean text"), text_ids(model, corrupted, "the corrupted text")
    if len(before) != len(after):
        raise IntrospectionError(
            f"the clean text has {len(before)} tokens and the corrupted one {len(after)}; patching puts each position "
            "in the place of the same one: make them of one length"
        )
    return before, after


def run(
    model: TextModel, ids: list[int], site: str, layers: Sequence[int], judge: Judge
) -> tuple[Float32, ActivationCache]:
    """A run's logits, as far as they are judged, and a site of some layers."""
    names = [full_name((site, layer), model.config.n_layer) for layer in layers]
    return run_batch(model, [ids], names, last_only=judge.last_only)[0]


def axes_of(
    model: TextModel, site: str, over: Sequence[str], asked: Mapping[str, Sequence[int] | None], positions: Positions,
    tokens: int,
) -> list[list[int]]:  # fmt: skip
    """The layers, heads and positions along the axes of a sweep."""
    if site not in (*HEADED, *SQUARE, *PLAIN):
        raise IntrospectionError(f"there is no sweep over {site!r}; choose from {', '.join(HEADED + SQUARE + PLAIN)}")
    known = ("layer", "position") if site in PLAIN else ("layer", "head", "position")
    if isinstance(over, str) or "layer" not in over or set(over) - set(known) or len(set(over)) < len(over):
        raise IntrospectionError(f"over is {over!r}; for {site} give ('layer',), or more of {', '.join(known)}")
    lost = [name for name, some in {**asked, "position": positions}.items() if some is not None and name not in over]
    if lost:
        raise IntrospectionError(f"{lost[0]}s are chosen and the sweep is not over them; add {lost[0]!r} to `over`")
    sizes = {"layer": model.config.n_layer, "head": model.config.n_head}
    axes = [
        absolute_positions(positions, tokens).tolist()
        if name == "position"
        else numbers(name, asked[name], sizes[name])
        for name in over
    ]
    empty = [name for name, axis in zip(over, axes, strict=True) if not axis]
    if empty:
        raise IntrospectionError(f"the sweep is over no {empty[0]}; choose at least one, or None for all")
    return axes


def patch(site: str, place: Place, source: ActivationCache) -> Edit:
    """The change that puts a run's activations in the place of others."""
    x = source[site, place.layer]
    name = full_name((site, place.layer), source.model.config.n_layer)
    at = None if place.position is None else (place.position,)
    if site in SQUARE:  # [n_head, queries, keys]
        rows = x.swapaxes(0, 1) if place.head is None else x[place.head]  # [queries, (n_head,) keys]
        rows = np.ascontiguousarray(rows if at is None else rows[list(at)])
        return Edit(name, "set", rows, width=rows.shape[-1], head=place.head, positions=at or range(len(x[0])))
    begin, width = 0, int(np.prod(x.shape[1:]))
    if place.head is not None:
        begin, width = place.head * x.shape[2], x.shape[2]
    rows = x.reshape(len(x), -1)[:, begin : begin + width]  # [tokens, width]
    rows = np.ascontiguousarray(rows if at is None else rows[list(at)])
    return Edit(name, "set", rows, begin=begin, width=width, positions=at or range(len(x)))


def in_batches(numbers: Sequence[int], tokens: int, judge: Judge) -> Iterator[list[int]]:
    """Variants that go into one pass each."""
    size = max(1, (ROWS if judge.last_only else ROWS_OF_LOGITS) // tokens)
    for first in range(0, len(numbers), size):
        yield list(numbers[first : first + size])
