"""What `glassformer trace` has to show: the tokens of a text with what the model expected, and layers' predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glassformer.cli.encoded import literal
from glassformer.formats.strict_json import finite

if TYPE_CHECKING:
    from glassformer.introspect.lens import LogitLens
    from glassformer.introspect.surprise import Surprise
    from glassformer.introspect.trace import TraceStep
    from glassformer.model import Model

Positions = slice | list[int]


@dataclass(frozen=True)
class Candidate:
    """A token that was expected: its id, its text, the same as a literal, its probability."""

    id: int
    text: str
    token: str
    probability: float

    def as_json(self) -> dict[str, object]:
        """The object of --json."""
        return {"id": self.id, "token": self.text, "probability": finite(self.probability)}


@dataclass(frozen=True)
class Row:
    """A token of the text.

    Attributes:
        bits: its surprise, -log2 of its probability; None for the first token, which nothing precedes, as are the next.
        rank: how many tokens were more probable.
        expected: the most probable tokens in its place.
        generated: whether the model wrote it.
    """

    position: int
    id: int
    text: str
    token: str
    bits: float | None
    rank: int | None
    expected: list[Candidate]
    generated: bool

    def as_json(self) -> dict[str, object]:
        """The object of --json."""
        return {
            "position": self.position, "id": self.id, "token": self.text, "generated": self.generated,
            "bits": None if self.bits is None else finite(self.bits), "rank": self.rank,
            "expected": [each.as_json() for each in self.expected],
        }  # fmt: skip


@dataclass(frozen=True)
class Depths:
    """What each layer expects after a position: (site of the residual stream, the most probable tokens)."""

    position: int
    text: str
    token: str
    layers: list[tuple[str, list[Candidate]]]

    def as_json(self) -> dict[str, object]:
        """The object of --json."""
        layers = [{"site": site, "expected": [each.as_json() for each in found]} for site, found in self.layers]
        return {"position": self.position, "token": self.text, "layers": layers}


@dataclass(frozen=True)
class Traced:
    """A traced text, that of the prompt and what the model wrote."""

    text: str
    rows: list[Row]
    lens: list[Depths]

    def as_json(self) -> dict[str, object]:
        """The object that `trace --json` prints."""
        return {
            "text": self.text,
            "tokens": [row.as_json() for row in self.rows],
            "lens": [each.as_json() for each in self.lens],
        }


def traced(model: Model, prompt: str, new_tokens: int, positions: Positions, top: int) -> Traced:
    """Read a prompt, let the model continue it greedily, and look at what it expected on the way.

    Args:
        positions: of the prompt, after which the layers' predictions are read; they are read after every new token too.
        top: how many expected tokens are kept.
    """
    from glassformer.introspect.lens import lens_sites, logit_lens
    from glassformer.introspect.surprise import surprise_from_logits

    sites = lens_sites(model, None)
    logits, cache = model.run_with_cache(prompt, sites)
    rows = list(read_rows(model, surprise_from_logits(model, cache.ids, logits, top=top)))
    lens: list[Depths] = []
    if positions == [] or top == 0:
        sites = []
    else:
        lens += depths(model, cache.ids, logit_lens(model, cache, positions=positions, top=top))
    if new_tokens:
        for number, step in enumerate(model.trace(prompt, names=sites, max_new_tokens=new_tokens, do_sample=False)):
            if number and sites:
                lens += depths(model, step.cache.ids, logit_lens(model, step.cache, top=top))
            rows.append(written_row(model, step, top))
    text = model.known_tokenizer.decode([row.id for row in rows])
    return Traced(text, rows, lens)


def read_rows(model: Model, found: Surprise) -> Iterator[Row]:
    """The tokens of a text that was read."""
    for place, (token, text) in enumerate(zip(found.ids, found.tokens, strict=True)):
        name = named(model, token)
        if place == 0:
            yield Row(place, token, text, name, None, None, [], generated=False)
            continue
        shares = [math.exp(value) for value in found.top_logprobs[place].tolist()]
        expected = candidates(model, found.top_ids[place].tolist(), shares)
        bits, rank = float(found.bits[place]), int(found.ranks[place])
        yield Row(place, token, text, name, bits, rank, expected, generated=False)


def written_row(model: Model, step: TraceStep, top: int) -> Row:
    """A token that the model wrote."""
    shares = step.probabilities
    best = (-shares).argsort(kind="stable")[:top]
    rank = int((shares > shares[step.token]).sum())
    text, bits = model.known_tokenizer.decode([step.token]), -step.logprob / math.log(2)
    expected = candidates(model, best.tolist(), shares[best].tolist())
    return Row(step.position, step.token, text, named(model, step.token), bits, rank, expected, generated=True)


def depths(model: Model, ids: Sequence[int], lens: LogitLens) -> Iterator[Depths]:
    """A lens position by position."""
    for column, position in enumerate(lens.positions.tolist()):
        layers = [
            (site, candidates(model, lens.top_ids[row][column].tolist(), lens.top_probabilities[row][column].tolist()))
            for row, site in enumerate(lens.sites)
        ]
        token = ids[position]
        yield Depths(position, model.known_tokenizer.decode([token]), named(model, token), layers)


def candidates(model: Model, ids: Sequence[int], probabilities: Sequence[float]) -> list[Candidate]:
    """Tokens with their probabilities; -1 stands for none."""
    known = [(token, share) for token, share in zip(ids, probabilities, strict=True) if token >= 0]
    decode = model.known_tokenizer.decode
    return [Candidate(token, decode([token]), named(model, token), share) for token, share in known]


def named(model: Model, token: int) -> str:
    """A token as a Python literal."""
    return literal(model.known_tokenizer.token_bytes(token))
