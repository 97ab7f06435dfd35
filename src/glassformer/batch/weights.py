"""Which weights a run loads, and how they are held."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Weights:
    """A model, by what `glassformer.load` is asked.

    Attributes:
        path: a folder, a name on the hub, or None for the model inside the package.
        dtype, cache_dtype, threads: see `glassformer.load`.
    """

    path: str | None = None
    dtype: str = "auto"
    cache_dtype: str = "auto"
    threads: int | None = None

    def everywhere(self) -> Weights:
        """The same for processes that began in other folders."""
        if self.path is None or not Path(self.path).exists():
            return self
        return replace(self, path=str(Path(self.path).resolve()))
