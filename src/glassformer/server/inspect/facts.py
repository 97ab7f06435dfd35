"""What the page says of the model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from glassformer import __version__
from glassformer.server.fields import Asked
from glassformer.server.inspect.session import Session


def facts(session: Session, asked: Asked) -> dict[str, Any]:
    """The model's name, sizes and sites, and what it runs on."""
    network: Any = session.model.network
    config = session.model.config
    return {
        "name": session.name,
        "version": __version__,
        "config": asdict(config) | {"head_dim": config.head_dim, "n_inner": config.inner},
        "weight_bytes": network.weights.nbytes,
        "dtype": session.dtype,
        "cache_dtype": network.layout.kind,
        "threads": network.ops.executor.threads,
        "target": network.ops.executor.target.name,
        "has_vocabulary": session.vocabulary is not None,
        "sites": [{"name": site.name, "axes": site.axes} for site in session.model.sites()],
    }


def vocabulary(session: Session, asked: Asked) -> dict[str, Any]:
    """The text of every token by id, bytes that form no character escaped; null where there is no vocabulary."""
    return {"tokens": session.vocabulary}
