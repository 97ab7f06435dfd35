"""What a forward pass tells of itself as it runs, and what may be changed in it: described as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.capture import Target
from glassformer.runtime.engine import Ops

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
X = TypeVar("X")
Kind = Literal["set", "add", "scale"]
Call = Callable[[str, Float32], Float32 | None]

SQUARE = ("hook_attn_scores", "hook_pattern")  # sites whose rows hold a number for each head and position
FINAL = ("ln_final.", "hook_logits")  # how the names of sites behind the last layer begin


class Observer(Protocol):
    """What the forward pass calls. `wants` and `changes` decide how far operations are fused."""

    def wants(self, site: str) -> bool:
        """Whether the value of a site is looked at."""

    def changes(self, site: str) -> bool:
        """Whether it may be another afterwards."""

    def see(self, ops: Ops, site: str, x: X) -> X:
        """Look at a site's value, and change it in place; the value that the pass goes on with."""

    def target(self, site: str) -> Target | None:
        """Where a site's rows are kept, for an operation that puts them there itself."""

    def end(self, ops: Ops) -> None:
        """The pass is over."""

    @property
    def start(self) -> int | None:
        """The layer before which the pass starts; None: with the embedding."""

    def residual(self, ops: Ops) -> Float32:
        """The residual stream before that layer.  [rows, n_embd]"""


class Unobserved:
    """The observer that looks at nothing."""

    start = None

    def wants(self, site: str) -> bool:
        return False

    def changes(self, site: str) -> bool:
        return False

    def see(self, ops: Ops, site: str, x: X) -> X:
        return x

    def target(self, site: str) -> Target | None:
        return None

    def end(self, ops: Ops) -> None:
        pass

    def residual(self, ops: Ops) -> Float32:
        raise ShapeError("a pass that nobody observes starts with the embedding")


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of a site's value, made before later lines use it and before it is captured.

    A row is the numbers of one token: [n_head * head_dim] of hook_q, k, v, z, [n_head * n_embd] of hook_result, else as
    wide as the site. Of hook_attn_scores and hook_pattern it is the positions that one head looks at, up to its own.

    Attributes:
        site: its full name.
        kind: "set": x = values; "add": x + factor * values; "scale": x * factor.
        values: [1 or rows, 1 or width], 1 for all; of scores and pattern also [1 or rows, n_head, 1 or width].
        factor: see `kind`.
        begin, width: the first number of the row that is changed, and how many are; None: the rest of the row.
        head: of hook_attn_scores and hook_pattern alone; None: each head.
        positions: absolute positions of the tokens whose rows are changed, a row of `values` for each; None: all.
        part: number of the sequence in its batch; None: each.

    Raises:
        ShapeError: for parts that do not go together.
    """

    site: str
    kind: Kind
    values: Float32 | None = None
    factor: float = 1.0
    begin: int = 0
    width: int | None = None
    head: int | None = None
    positions: range | tuple[int, ...] | None = None
    part: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("set", "add", "scale"):
            raise ShapeError(f"edit of {self.site}: kind {self.kind!r}; choose from set, add, scale")
        if self.head is not None and not self.square:
            raise ShapeError(f"edit of {self.site}: `head` is for scores and pattern; here it is `begin` and `width`")
        if self.begin < 0 or (self.width is not None and self.width < 0):
            raise ShapeError(f"edit of {self.site}: begin {self.begin}, width {self.width}; both count from 0 up")
        if (self.values is None) != (self.kind == "scale"):
            raise ShapeError(f"edit of {self.site}: set and add need values, scale takes a factor alone")
        if self.values is not None:
            self._check(self.values)

    def _check(self, values: Float32) -> None:
        shape = values.shape
        if values.dtype != np.float32 or values.ndim not in ((2, 3) if self.square else (2,)) or 0 in shape:
            raise ShapeError(
                f"edit of {self.site}: values are {values.dtype} {shape}; expected float32 [1 or rows, 1 or width]"
            )
        if len(values) > 1 and (self.positions is None or len(values) != len(self.positions)):
            places = "all positions" if self.positions is None else f"{len(self.positions)} positions"
            raise ShapeError(f"edit of {self.site}: {len(values)} rows of values for {places}; give 1 or one for each")
        if shape[-1] > 1 and self.width is not None and shape[-1] != self.width:
            raise ShapeError(f"edit of {self.site}: {shape[-1]} values for {self.width} numbers; give 1 or as many")

    @cached_property
    def places(self) -> tuple[Int64, Int64] | None:
        """Positions in order, and the row of values for each; None: all positions, which share one row."""
        if self.positions is None:
            return None
        positions = np.array(self.positions, np.int64)
        order = np.argsort(positions, kind="stable")
        return positions[order], order * (self.values is not None and len(self.values) > 1)

    @property
    def square(self) -> bool:
        """Whether rows hold a number for each head and position."""
        return self.site.endswith(SQUARE)


@dataclass(frozen=True, eq=False)
class Resume:
    """Where a pass starts when what comes before is known.

    layer: the first that is computed; n_layer: only the final normalisation and the head. residual: `hook_resid_pre` of
    that layer for all tokens of the batch in their order, [tokens, n_embd].
    """

    layer: int
    residual: Float32

    def __post_init__(self) -> None:
        if self.residual.dtype != np.float32 or self.residual.ndim != 2 or not self.residual.flags.c_contiguous:
            raise ShapeError(
                f"resume: the residual is {self.residual.dtype} {self.residual.shape}; "
                "expected contiguous float32 [tokens, n_embd]"
            )


@dataclass(frozen=True, eq=False)
class Observation:
    """What is looked at and changed in forward passes.

    Attributes:
        names: sites that are captured, into a frame whose layout has them in this order.
        edits: changes, made in this order.
        called: sites at which `call` is given the value and may return another.
        call: a function of the site's name and its value; with one, nothing is recorded and a prompt runs in one pass.
        resume: where the pass starts, if not with the embedding.
    """

    names: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()
    called: frozenset[str] = frozenset()
    call: Call | None = None
    resume: Resume | None = None

    @cached_property
    def slots(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The launches that edits need: each a site and the numbers of edits, of different sequences."""
        return tuple(slots_of(self.edits))

    @cached_property
    def key(self) -> str:
        """What decides a pass's launches: sites alone, never positions or values. A text, whose hash is taken once."""
        layer = None if self.resume is None else self.resume.layer
        return " ".join((*self.names, "|", *(site for site, _ in self.slots), "|", str(layer)))

    @cached_property
    def values(self) -> tuple[Float32, tuple[int, ...]]:
        """The values of all edits one after the other, and where those of each begin."""
        parts = [np.zeros(1, np.float32)]  # a launch is given an address, whatever it finds there
        starts: dict[int, int] = {}
        for edit in self.edits:
            if edit.values is not None and id(edit.values) not in starts:
                starts[id(edit.values)] = sum(part.size for part in parts)
                parts.append(edit.values.reshape(-1))
        return np.concatenate(parts), tuple(starts.get(id(edit.values), 0) for edit in self.edits)

    @cached_property
    def final(self) -> bool:
        """Whether it is about what is computed, unless asked, for the last rows alone."""
        return any(site.startswith(FINAL) for site in self.sites)

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site that it is about."""
        return (*self.names, *self.called, *(edit.site for edit in self.edits))


def slots_of(edits: tuple[Edit, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Edits by number in as few launches as can be: those of one site and different sequences go together."""
    found: list[tuple[str, list[int], set[int | None]]] = []
    for number, edit in enumerate(edits):
        last = next((slot for slot in reversed(found) if slot[0] == edit.site), None)
        if last is None or edit.part is None or last[2] & {None, edit.part}:
            found.append((edit.site, [number], {edit.part}))
        else:
            last[1].append(number)
            last[2].add(edit.part)
    return [(site, tuple(numbers)) for site, numbers, _ in found]


UNOBSERVED = Unobserved()
