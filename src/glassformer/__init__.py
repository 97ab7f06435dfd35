"""Glassformer: run, understand and change Transformer language models in Python alone.

Names are resolved on first use, so that `import glassformer` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from glassformer.errors import GlassformerError

if TYPE_CHECKING:
    from glassformer import formats
    from glassformer.generation.constraints.constraint import Choice, JsonObject, JsonSchema, Regex
    from glassformer.generation.continuation import Generation
    from glassformer.introspect.interventions import Add, Freeze, Mean, Patch, Scale, Zero
    from glassformer.model import Model, load
    from glassformer.runtime import ops
    from glassformer.tokenizer.tokenizer import Tokenizer

__version__ = "0.1.0"
__all__ = [
    "Add", "Choice", "Freeze", "Generation", "GlassformerError", "JsonObject", "JsonSchema", "Mean", "Model", "Patch",
    "Regex", "Scale", "Tokenizer", "Zero", "__version__", "formats", "load", "ops",
]  # fmt: skip

_HOMES = {
    "Generation": "glassformer.generation.continuation",
    "Model": "glassformer.model",
    "Tokenizer": "glassformer.tokenizer.tokenizer",
    "load": "glassformer.model",
    **dict.fromkeys(("Choice", "JsonObject", "JsonSchema", "Regex"), "glassformer.generation.constraints.constraint"),
    **dict.fromkeys(("Add", "Freeze", "Mean", "Patch", "Scale", "Zero"), "glassformer.introspect.interventions"),
}
_MODULES = {"formats": "glassformer.formats", "ops": "glassformer.runtime.ops"}


def __getattr__(name: str) -> object:
    """Import the module that holds a public name when that name is first asked for."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'glassformer' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
