"""Neurons: which fire at a position, where one fires, and what tokens it speaks for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from glassformer.introspect.neurons import firing, spoken_for
from glassformer.introspect.results import plain
from glassformer.server.binary import Binary
from glassformer.server.fields import Asked
from glassformer.server.inspect.session import Session

FIRING_KEYS = ("run", "position")
NEURON_KEYS = ("run", "layer", "neuron")
TOKENS_KEYS = ("layer", "neuron")
MOST = 24


def firing_at(session: Session, asked: Asked) -> dict[str, Any]:
    """The neurons with the highest activations at a position, highest first."""
    run = session.runs.find(asked.string("run", 40))
    position = asked.integer("position", 0, len(run.ids) - 1)
    return {"firing": [asdict(each) for each in firing(run.cache, position, count=MOST)]}


def activations(session: Session, asked: Asked) -> Binary:
    """One neuron's activations over the text: [tokens]."""
    run, (layer, neuron) = session.runs.find(asked.string("run", 40)), which(session, asked)
    return Binary(run.cache["post", layer][:, neuron], f"blocks.{layer}.mlp.hook_post")


def tokens(session: Session, asked: Asked) -> dict[str, Any]:
    """The tokens that a neuron promotes and suppresses most, which depends on no text."""
    layer, neuron = which(session, asked)
    promoted, suppressed = spoken_for(session.model, layer, neuron, top=12)
    return {"promoted": plain(asdict(promoted)), "suppressed": plain(asdict(suppressed))}


def which(session: Session, asked: Asked) -> tuple[int, int]:
    """Layer and neuron that a request names."""
    config = session.model.config
    return asked.integer("layer", 0, config.n_layer - 1), asked.integer("neuron", 0, config.inner - 1)
