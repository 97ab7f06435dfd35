"""What a model's folder says about it: `config.json` as a frozen dataclass, with the file's own names.

Source of names, defaults and meanings: the GPT-2 configuration of Hugging Face transformers.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from glassformer.formats.strict_json import JsonError, brief, read_object
from glassformer.models.fields import ConfigError, Fields, TokenIds
from glassformer.models.generation_config import GenerationConfig, read_generation_config

__all__ = [
    "ConfigError",
    "GPT2Config",
    "GenerationConfig",
    "Shape",
    "check_tensors",
    "expected_tensors",
    "read_config",
    "read_generation_config",
]

Shape = tuple[int, ...]

SUPPORTED_MODEL_TYPES = ("gpt2",)
MAX_CONFIG_BYTES = 16 << 20

# Names in config.json, and the function that each stands for.
ACTIVATIONS = {
    "gelu_new": "gelu_new",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "tanh": "tanh",
    "gelu_pytorch_tanh": "gelu_new",
    "swish": "silu",
}
# The general names that transformers accepts in place of GPT-2's own.
_ALIASES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
# Far above any model of this architecture; what a model really takes is checked against its tensors.
_MAX_VOCABULARY = _MAX_POSITIONS = 1 << 24
_MAX_WIDTH = 1 << 20
_MAX_LAYERS = 1 << 12


@dataclass(frozen=True)
class GPT2Config:
    """A GPT-2 architecture. Fields have the names and defaults of config.json; sizes are in elements.

    Raises:
        ConfigError: values of a wrong type or range, all listed in one message.
    """

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True
    bos_token_id: TokenIds = 50256
    eos_token_id: TokenIds = 50256

    def __post_init__(self) -> None:
        fields = Fields(asdict(self))
        _read_fields(fields)
        fields.raise_problems("GPT2Config")

    @classmethod
    def from_dict(cls, values: Mapping[str, object], where: str = "config.json") -> Self:
        """The configuration that a parsed config.json describes; `where` names it in errors.

        Unknown keys are ignored and missing ones take their defaults, as in transformers.

        Raises:
            ConfigError: another architecture, or fields of a wrong type or range, all listed in one message.
        """
        problems = _foreign_problems(values)
        fields = Fields(_own_names(values, problems))
        read = _read_fields(fields)
        fields.problems[:0] = problems
        fields.raise_problems(where)
        return cls(**read)

    @property
    def model_type(self) -> str:
        """The architecture's name in config.json."""
        return "gpt2"

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.n_embd // self.n_head

    @property
    def inner(self) -> int:
        """Width of the hidden layer of the feed-forward block: `n_inner`, or four times the model's width."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    @property
    def activation(self) -> str:
        """The activation's own name: gelu_new, gelu, relu, silu or tanh, whatever alias the file uses."""
        return ACTIVATIONS[self.activation_function]

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """Every id that ends a text; empty where the model has none."""
        ids = self.eos_token_id
        return () if ids is None else ids if isinstance(ids, tuple) else (ids,)


def read_config(folder: str | os.PathLike[str]) -> GPT2Config:
    """Read `config.json` in a model's folder.

    Raises:
        ConfigError: it is missing, not JSON, or says something that `GPT2Config.from_dict` refuses.
    """
    path = Path(folder) / "config.json"
    if not path.exists():
        raise ConfigError(f"{path}: no such file; expected a model's folder in Hugging Face form")
    try:
        values = read_object(path, MAX_CONFIG_BYTES)
    except JsonError as error:
        raise ConfigError(f"{path}: {error}") from None
    return GPT2Config.from_dict(values, str(path))


def expected_tensors(config: GPT2Config) -> dict[str, Shape]:
    """Every tensor of the architecture with its shape, in Hugging Face's names without the `transformer.` prefix.

    Matrices of the blocks are Conv1D's: [inputs, outputs]. Buffers that the function does not need are not listed.
    """
    width, inner = config.n_embd, config.inner
    shapes: dict[str, Shape] = {
        "wte.weight": (config.vocab_size, width),
        "wpe.weight": (config.n_positions, width),
    }
    for layer in range(config.n_layer):
        block: dict[str, Shape] = {
            "ln_1.weight": (width,),
            "ln_1.bias": (width,),
            "attn.c_attn.weight": (width, 3 * width),
            "attn.c_attn.bias": (3 * width,),
            "attn.c_proj.weight": (width, width),
            "attn.c_proj.bias": (width,),
            "ln_2.weight": (width,),
            "ln_2.bias": (width,),
            "mlp.c_fc.weight": (width, inner),
            "mlp.c_fc.bias": (inner,),
            "mlp.c_proj.weight": (inner, width),
            "mlp.c_proj.bias": (width,),
        }
        shapes |= {f"h.{layer}.{name}": shape for name, shape in block.items()}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, width)
    return shapes


def check_tensors(config: GPT2Config, found: Mapping[str, Shape], where: str) -> None:
    """Check the shapes of a model's tensors, by their names without prefix, against its configuration.

    Raises:
        ConfigError: tensors missing or of another shape, all listed with expected and found shapes.
    """
    problems = []
    for name, shape in expected_tensors(config).items():
        if name not in found:
            problems.append(f"{name} {list(shape)} is missing")
        elif found[name] != shape:
            problems.append(f"{name} is {brief(list(found[name]))}, expected {list(shape)}")
    if problems:
        shown = problems[:20] + ([f"and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise ConfigError(f"{where}: tensors and configuration disagree: {'; '.join(shown)}")


def _read_fields(fields: Fields) -> dict[str, Any]:
    """GPT2Config's fields by name, each checked; problems are noted in `fields`."""
    read: dict[str, Any] = {
        "vocab_size": fields.integer("vocab_size", GPT2Config.vocab_size, 1, _MAX_VOCABULARY),
        "n_positions": fields.integer("n_positions", GPT2Config.n_positions, 1, _MAX_POSITIONS),
        "n_embd": fields.integer("n_embd", GPT2Config.n_embd, 1, _MAX_WIDTH),
        "n_layer": fields.integer("n_layer", GPT2Config.n_layer, 1, _MAX_LAYERS),
        "n_head": fields.integer("n_head", GPT2Config.n_head, 1, _MAX_WIDTH),
        "n_inner": fields.optional_integer("n_inner", 1, _MAX_WIDTH),
        "activation_function": fields.choice("activation_function", "gelu_new", tuple(ACTIVATIONS)),
        "layer_norm_epsilon": fields.number("layer_norm_epsilon", GPT2Config.layer_norm_epsilon, 0.0, 1.0),
        "bos_token_id": fields.token_ids("bos_token_id", GPT2Config.bos_token_id),
        "eos_token_id": fields.token_ids("eos_token_id", GPT2Config.eos_token_id),
    }
    for key, default in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("tie_word_embeddings", True),
    ):
        read[key] = fields.boolean(key, default)
    if not fields.problems and read["n_embd"] % read["n_head"]:
        fields.refuse("n_embd", f"a multiple of n_head, which is {read['n_head']}")
    return read


def _foreign_problems(values: Mapping[str, object]) -> list[str]:
    """What a config.json asks for that is not this architecture."""
    fields = Fields(values)
    architectures = values.get("architectures")
    implied = "GPT2" in str(architectures) if "model_type" not in values else False
    if not implied and values.get("model_type") not in SUPPORTED_MODEL_TYPES:
        fields.refuse("model_type", f"a supported architecture: {', '.join(SUPPORTED_MODEL_TYPES)}")
    if fields.boolean("add_cross_attention", False):
        fields.refuse("add_cross_attention", "false: a decoder that attends to an encoder is not supported")
    return fields.problems


def _own_names(values: Mapping[str, object], problems: list[str]) -> dict[str, object]:
    """The values under GPT-2's own names; an alias that contradicts its name is noted in `problems`."""
    own = dict(values)
    for alias, name in _ALIASES.items():
        if alias in values:
            if values.get(name, values[alias]) != values[alias]:
                problems.append(f"{name} is {brief(values[name])} but {alias} is {brief(values[alias])}")
            own[name] = values[alias]
    if "n_positions" not in own and "n_ctx" in own:
        own["n_positions"] = own["n_ctx"]
    return own
