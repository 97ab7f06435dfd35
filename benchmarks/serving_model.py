"""One random-weight GPT-2 that every server loads and reads texts with: weights, and a vocabulary of made-up words."""

from __future__ import annotations

import json
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import numpy.typing as npt

from glassformer.formats.safetensors import save_safetensors
from glassformer.models.config import GPT2Config
from glassformer.tokenizer.byte_alphabet import ALPHABET, spell
from peer_models import CONFIG_KEYS, random_tensors, write_gguf

END = "<|endoftext|>"
SPACE = spell(b" ")
LETTERS = 3  # of the words that prompts are made of; each is one token
KIND = "q8_0"


def merges(count: int) -> list[tuple[str, str]]:
    """So many pairs of byte-pair encoding: a space and a letter, what that gives and a letter, and so on."""
    heads = (SPACE + "".join(head) for length in range(4) for head in product(ascii_lowercase, repeat=length))
    return list(islice(((head, letter) for head in heads for letter in ascii_lowercase), count))


def write_served(folder: Path, config: GPT2Config) -> None:
    """A folder in Hugging Face form, and `model-q8_0.gguf` beside it, unless they are there.

    The end of text has an embedding of zeros, so that its logit is 0 and no other token's: nobody draws it among the
    most probable ones, and every text is as long as it was asked to be.
    """
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, npt.NDArray[np.generic]] = dict(random_tensors(config, np.float32))
        tensors["wte.weight"][0] = 0
        save_safetensors(folder / "model.safetensors", tensors, metadata={"format": "pt"})
        pairs = merges(config.vocab_size - 1 - len(ALPHABET))
        tokens = [END, *ALPHABET, *("".join(pair) for pair in pairs)]
        vocabulary = json.dumps({token: place for place, token in enumerate(tokens)}, ensure_ascii=False)
        (folder / "vocab.json").write_text(vocabulary, encoding="utf8")
        lines = ["#version: 0.2", *(" ".join(pair) for pair in pairs)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf8")
        described = {key: getattr(config, key) for key in CONFIG_KEYS}
        text = json.dumps({"model_type": "gpt2", "bos_token_id": 0, "eos_token_id": 0, **described})
        (folder / "config.json").write_text(text, encoding="utf8")


def served_gguf(folder: Path, config: GPT2Config) -> Path:
    """The same in eight bits for llama.cpp; raises ImportError where its packages are missing."""
    return write_gguf(folder, config, KIND)


def words(count: int, draw: np.random.Generator) -> str:
    """A text of so many tokens."""
    letters = draw.integers(0, len(ascii_lowercase), (count, LETTERS))
    return "".join(" " + "".join(ascii_lowercase[letter] for letter in word) for word in letters.tolist())
