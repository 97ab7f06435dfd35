"""The JSON files of a model folder that may say something about its tokenizer; each is read at most once."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from glassformer.tokenizer.json_file import read_json_object

Table = Mapping[str, object]


class ModelFiles:
    """A model folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = cache(self._table)

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def _table(self, name: str) -> Table:
        """The object in a file; an empty one where there is no such file. `TokenizerError` if it is malformed."""
        return read_json_object(self.folder / name) if self.has(name) else {}
