"""Interventions beside what they mean: a line of NumPy on the array of their site, [tokens, ...] of a prompt of 6."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.introspect.interventions import Add, Freeze, Intervention, Mean, Patch, Scale, Zero
from glassformer.models.config import GPT2Config
from glassformer.models.observer import Edit

Array = npt.NDArray[Any]

TOKENS, LAYERS, HEADS, HEAD_DIM, WIDTH, INNER, VOCABULARY = 6, 2, 3, 8, 24, 96, 65
CHANGES: dict[str, object] = {
    "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "n_inner": INNER, "vocab_size": VOCABULARY,
}  # fmt: skip
CONFIG = GPT2Config(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, n_inner=INNER, vocab_size=VOCABULARY, n_positions=48)


def drawn(*shape: int) -> Array:
    """Numbers that are different everywhere."""
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """An intervention, the sites that it changes, and the change, which works on the array in place."""

    intervention: Intervention
    sites: tuple[str, ...]
    change: Callable[[Array], None]


def at(name: str, *layers: int) -> tuple[str, ...]:
    return tuple(f"blocks.{layer}.{name}" for layer in layers)


def put(place: Any, value: Any) -> Callable[[Array], None]:
    """Sets a part of an array."""
    return lambda x: x.__setitem__(place, value)


def plus(place: Any, value: Any) -> Callable[[Array], None]:
    return lambda x: x.__setitem__(place, x[place] + value)


def times(place: Any, factor: float) -> Callable[[Array], None]:
    return lambda x: x.__setitem__(place, x[place] * np.float32(factor))


ALL = slice(None)
ROW, HEAD, WHOLE = drawn(WIDTH), drawn(HEAD_DIM), drawn(TOKENS, HEADS, HEAD_DIM)
Z, Q, V = "attn.hook_z", "attn.hook_q", "attn.hook_v"

ROWS: dict[str, Case] = {
    "zero a head": Case(Zero("z", layer=1, head=2), at(Z, 1), put((ALL, 2), 0)),
    "zero a head's last position": Case(Zero("blocks.0.attn.hook_z", head=0, position=-1), at(Z, 0), put((5, 0), 0)),
    "zero everywhere": Case(Zero("blocks.*.hook_mlp_out"), at("hook_mlp_out", 0, 1), put(ALL, 0)),
    "zero scattered neurons": Case(
        Zero("post", layer=-1, neuron=[90, 3, 4, 5, -1]), at("mlp.hook_post", 1), put((ALL, [90, 3, 4, 5, 95]), 0)
    ),
    "zero a part of heads": Case(
        Zero("attn.hook_k", layer=0, head=[2, 0], neuron=slice(1, 8, 3)),
        at("attn.hook_k", 0),
        lambda x: [x.__setitem__((ALL, h, slice(1, 8, 3)), 0) for h in (0, 2)],
    ),
    "scale one position": Case(Scale("resid_mid", 0.5, layer=0, position=2), at("hook_resid_mid", 0), times(2, 0.5)),
    "scale a slice": Case(Scale("q", -2, layer=1, position=slice(1, -1, 2)), at(Q, 1), times(slice(1, 5, 2), -2.0)),
    "add a vector": Case(Add("resid_pre", ROW, layer=1), at("hook_resid_pre", 1), plus(ALL, ROW)),
    "add a vector to one head": Case(Add("v", HEAD, layer=0, head=1), at(V, 0), plus((ALL, 1), HEAD)),
    "add by head": Case(Add("v", drawn(2, 1), layer=0, head=[2, 1]), at(V, 0), plus((ALL, [2, 1]), drawn(2, 1))),
    "add a number": Case(
        Add("ln1.normalized", 0.25, layer=0), at("ln1.hook_normalized", 0), plus(ALL, np.float32(0.25))
    ),
    "add at positions": Case(
        Add("embed", drawn(3, WIDTH), position=[5, 0, -3]), ("hook_embed",), plus(([5, 0, 3],), drawn(3, WIDTH))
    ),
    "patch a row": Case(Patch("attn_out", ROW, layer=1, position=3), at("hook_attn_out", 1), put(3, ROW)),
    "patch a column": Case(
        Patch("pre", [1, 2, 3, 4, 5, 6], layer=0, neuron=7), at("mlp.hook_pre", 0), put((ALL, 7), [1, 2, 3, 4, 5, 6])
    ),
    "patch the first rows": Case(
        Patch("resid_post", drawn(4, WIDTH), layer=0), at("hook_resid_post", 0), put(slice(0, 4), drawn(4, WIDTH))
    ),
    "patch heads at positions": Case(
        Patch("z", drawn(2, 2, HEAD_DIM), layer=0, head=[0, 2], position=slice(2, 4)),
        at(Z, 0),
        put((slice(2, 4), slice(0, 3, 2)), drawn(2, 2, HEAD_DIM)),
    ),
    "patch a head as it is captured": Case(
        Patch("z", WHOLE[:, 1], layer=0, head=1), at(Z, 0), put((ALL, 1), WHOLE[:, 1])
    ),
    "patch logits": Case(Patch("logits", -1e9, neuron=[0, 64]), ("hook_logits",), put((ALL, [0, 64]), -1e9)),
    "patch the final norm": Case(
        Patch("ln_final.normalized", ROW, position=5), ("ln_final.hook_normalized",), put(5, ROW)
    ),
    "mean of a head": Case(Mean("z", WHOLE[0], layer=1, head=1), at(Z, 1), put((ALL, 1), WHOLE[0, 1])),
    "mean of a stream": Case(
        Mean("resid_post", ROW, layer=0, neuron=slice(4, 9)),
        at("hook_resid_post", 0),
        put((ALL, slice(4, 9)), ROW[4:9]),
    ),
    "freeze heads": Case(
        Freeze("z", WHOLE[:4], layer=1, head=[0, 1]), at(Z, 1), put((slice(0, 4), slice(0, 2)), WHOLE[:4, :2])
    ),
    "freeze one position": Case(Freeze("v", WHOLE, layer=1, position=-2), at(V, 1), put(4, WHOLE[4])),
    "a head's result": Case(Zero("result", layer=1, head=0), at("attn.hook_result", 1), put((ALL, 0), 0)),
    "a head's result patched": Case(
        Patch("result", drawn(2, WIDTH), layer=0, head=[1, 2], position=4),
        at("attn.hook_result", 0),
        put((4, slice(1, 3)), drawn(2, WIDTH)),
    ),
    "only while the prompt is read": Case(Zero("z", layer=0, step=0), at(Z, 0), put(ALL, 0)),
    "only while writing": Case(Zero("z", layer=0, step=slice(1, None)), at(Z, 0), put(slice(0, 0), 0)),
    "positions behind the text": Case(Zero("z", layer=0, position=slice(4, 40)), at(Z, 0), put(slice(4, 6), 0)),
}

CAUSAL = np.tril(np.ones((TOKENS, TOKENS), bool))


def causal(change: Callable[[Array], None]) -> Callable[[Array], None]:
    """The change where keys are not behind their query."""

    def changed(x: Array) -> None:
        other = x.copy()
        change(other)
        x[:] = np.where(CAUSAL, other, x)

    return changed


PATTERN, SCORES = "attn.hook_pattern", "attn.hook_attn_scores"
SQUARE = drawn(HEADS, TOKENS, TOKENS)
SQUARES: dict[str, Case] = {
    "no head looks at the first": Case(Zero("pattern", key=0), at(PATTERN, 0, 1), put((ALL, ALL, 0), 0)),
    "one head's pattern": Case(Zero("pattern", layer=1, head=2), at(PATTERN, 1), put(2, 0)),
    "a link is cut": Case(
        Patch("attn_scores", -1e9, layer=0, head=1, position=-1, key=2), at(SCORES, 0), put((1, 5, 2), -1e9)
    ),
    "scores scaled": Case(Scale("attn_scores", 3, layer=1, head=[0, 2]), at(SCORES, 1), times([0, 2], 3.0)),
    "scores added by head": Case(
        Add("attn_scores", drawn(HEADS, 1), layer=0, key=1), at(SCORES, 0), plus((ALL, ALL, 1), drawn(HEADS, 1))
    ),
    "a row of a pattern": Case(
        Patch("pattern", drawn(4), layer=0, head=0, position=4, key=slice(0, 4)),
        at(PATTERN, 0),
        put((0, 4, slice(0, 4)), drawn(4)),
    ),
    "scattered keys": Case(
        Patch("pattern", 0.5, layer=0, key=[4, 0, 1, -1]), at(PATTERN, 0), put((ALL, ALL, [4, 0, 1, 5]), 0.5)
    ),
    "frozen patterns": Case(
        Freeze("pattern", SQUARE, layer=1, head=[2, 1]), at(PATTERN, 1), put(slice(1, 3), SQUARE[1:])
    ),
    "all patterns frozen": Case(
        Freeze("pattern", SQUARE[:, :5, :5], layer=1),
        at(PATTERN, 1),
        put((ALL, slice(0, 5), slice(0, 5)), SQUARE[:, :5, :5]),
    ),
}
CASES = ROWS | {name: Case(c.intervention, c.sites, causal(c.change)) for name, c in SQUARES.items()}


def apply(edit: Edit, x: Array, positions: Array) -> None:
    """The readable twin of the edits: change a site's array, rows at absolute positions, in place."""
    rows = np.arange(len(positions)) if edit.positions is None else np.flatnonzero(np.isin(positions, edit.positions))
    for row in rows:
        place = 0 if edit.positions is None else list(edit.positions).index(positions[row])
        if edit.square:
            for head in range(len(x)) if edit.head is None else [edit.head]:
                change(edit, x[head, row], place, head, int(positions[row]) + 1)
        else:
            flat = x[row].reshape(-1)
            change(edit, flat, place, None, len(flat))
            x[row] = flat.reshape(x[row].shape)


def change(edit: Edit, row: Array, place: int, head: int | None, end: int) -> None:
    """One row, up to `end`."""
    stop = min(end, len(row) if edit.width is None else edit.begin + edit.width)
    part = row[edit.begin : stop]  # a view: what is assigned to it is in the row
    if edit.values is None:
        part *= np.float32(edit.factor)
        return
    values = edit.values if edit.values.ndim == 2 else edit.values[:, head]
    own = values[min(place, len(values) - 1)]
    own = np.broadcast_to(own if len(own) == 1 else own[: len(part)], part.shape)
    part[:] = own if edit.kind == "set" else part + np.float32(edit.factor) * own
