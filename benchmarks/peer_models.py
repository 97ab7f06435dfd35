"""The same random-weight GPT-2 for every engine: a folder in Hugging Face form, and GGUF files made from it."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glassformer.formats.safetensors import open_safetensors, save_safetensors
from glassformer.models.config import GPT2Config, expected_tensors

Array = npt.NDArray[np.generic]

SHAPES = {"124m": GPT2Config(), "xl": GPT2Config(n_embd=1600, n_layer=48, n_head=25)}
CONFIG_KEYS = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "tie_word_embeddings")
DEVIATION = 0.05
# llama.cpp's names of file types (enum llama_ftype), which its own quantizer takes.
FILE_TYPES = {"q8_0": 7, "q4_0": 2}
# Parts of tensor names: ours, and GGUF's for the architecture gpt2.
GGUF_NAMES = {
    "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip


def random_tensors(config: GPT2Config, dtype: npt.DTypeLike) -> Iterator[tuple[str, Array]]:
    """Names and weights, drawn from a seed one after the other."""
    rng = np.random.default_rng(0)
    for name, shape in expected_tensors(config).items():
        mean = 1.0 if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")) else 0.0
        yield name, (rng.standard_normal(shape, dtype=np.float32) * DEVIATION + np.float32(mean)).astype(dtype)


def write_model(folder: Path, config: GPT2Config, dtype: npt.DTypeLike = np.float32) -> None:
    """A folder in Hugging Face form with random weights and a vocabulary of made-up words."""
    save_safetensors(folder / "model.safetensors", dict(random_tensors(config, dtype)), metadata={"format": "pt"})
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    described = {key: getattr(config, key) for key in CONFIG_KEYS}
    text = json.dumps({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **ends, **described})
    (folder / "config.json").write_text(text, encoding="utf8")
    # CTranslate2's converter wants a vocabulary.
    vocabulary = {word(token): token for token in range(config.vocab_size)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf8")


def word(token: int) -> str:
    """The made-up word of a token."""
    return f"word{token}" if token else "<|endoftext|>"


def gguf_name(name: str) -> str:
    """GGUF's name of a tensor."""
    stem, _, kind = name.rpartition(".")
    if stem.startswith("h."):
        _, layer, part = stem.split(".", 2)
        return f"blk.{layer}.{GGUF_NAMES[part]}.{kind}"
    return f"{GGUF_NAMES[stem]}.{kind}"


def write_gguf(folder: Path, config: GPT2Config, kind: str) -> Path:
    """The folder's weights as `model-<kind>.gguf`: f32 and f16 as llama.cpp's converter writes them (vectors and the
    position table in f32), anything else from f16 by llama.cpp's own quantizer, whose choice of types per tensor
    counts.

    Raises ImportError where the packages gguf and llama-cpp-python are missing.
    """
    path = folder / f"model-{kind}.gguf"
    if path.exists():
        return path
    if kind in FILE_TYPES:
        quantize(write_gguf(folder, config, "f16"), path, kind)
        return path
    import gguf

    writer = gguf.GGUFWriter(path, "gpt2")
    add_keys(writer, config)
    add_vocabulary(writer, folder, config)
    with open_safetensors(folder / "model.safetensors") as file:
        for name in file:
            x = np.asarray(file[name], np.float32)
            matrix = x.ndim == 2 and name != "wpe.weight"
            # Conv1D's matrices are [inputs, outputs]; GGUF's are [outputs, inputs], as the embedding is already.
            x = np.ascontiguousarray(x.T) if matrix and name != "wte.weight" else x
            writer.add_tensor(gguf_name(name), x.astype(np.float16) if matrix and kind == "f16" else x)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_keys(writer: object, config: GPT2Config) -> None:
    """What llama.cpp reads of the architecture."""
    import gguf

    assert isinstance(writer, gguf.GGUFWriter)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_vocab_size(config.vocab_size)


def add_vocabulary(writer: object, folder: Path, config: GPT2Config) -> None:
    """The folder's vocabulary where it has merges, so that texts can be read; most of what is timed needs none."""
    import gguf

    assert isinstance(writer, gguf.GGUFWriter)
    pairs = (folder / "merges.txt").read_text(encoding="utf8").splitlines()[1:]
    if not pairs:
        writer.add_tokenizer_model("none")
        return
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    tokens = list(json.loads((folder / "vocab.json").read_text(encoding="utf8")))
    writer.add_token_list(tokens)
    writer.add_token_types(
        [3 if place in config.eos_token_ids else 1 for place in range(len(tokens))]
    )  # control, normal
    writer.add_token_merges(pairs)
    writer.add_eos_token_id(config.eos_token_ids[0])


def quantize(source: Path, path: Path, kind: str) -> None:
    """llama.cpp's quantizer with its defaults, so a tied head of q4_0 becomes q6_K."""
    import llama_cpp

    hush_llama()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES[kind]
    if llama_cpp.llama_model_quantize(str(source).encode(), str(path).encode(), ctypes.byref(params)) != 0:
        sys.exit(f"llama.cpp could not quantise {source} to {kind}")


def hush_llama() -> None:
    """Keep llama.cpp's log to errors."""
    import llama_cpp

    @llama_cpp.llama_log_callback
    def only_errors(level: int, text: bytes, _: object) -> None:
        if level == 4:  # GGML_LOG_LEVEL_ERROR
            sys.stderr.write(text.decode(errors="replace"))

    hush_llama.kept = only_errors  # type: ignore[attr-defined]  # ctypes does not keep it alive
    llama_cpp.llama_log_set(only_errors, ctypes.c_void_p(0))
