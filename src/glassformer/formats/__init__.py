"""Weight formats: bytes to named arrays and back; nothing here knows a model."""

from glassformer.formats.safetensors import SafetensorsError, SafetensorsFile, open_safetensors, save_safetensors
from glassformer.formats.sharded import Weights, open_weights

__all__ = [
    "SafetensorsError",
    "SafetensorsFile",
    "Weights",
    "open_safetensors",
    "open_weights",
    "save_safetensors",
]
