"""Hugging Face transformers as the tests of parity use it: in float32, on the CPU, without dropout."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def new_model(**values: Any) -> Any:
    """A random model of a configuration, all its parameters drawn wider than transformers does, biases included."""
    import torch
    import transformers

    torch.set_num_threads(1)  # the models are small, and beside our own threads more would only wait
    config = transformers.GPT2Config(**{"bos_token_id": 0, "eos_token_id": 0, **values})
    model = transformers.GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(values.get("n_embd", 0) + values.get("n_layer", 0))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
            else:
                width = parameter.shape[0] if ".h." in name else 4.0
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / width**0.5)
    return model


def read_model(folder: Path) -> Any:
    """A model's folder as transformers reads it, in float32."""
    import torch
    import transformers

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()


def logits(model: Any, ids: list[int]) -> Array:
    """[tokens, vocab_size]."""
    import torch

    with torch.no_grad():
        found: Array = model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()
    return found


def greedy(model: Any, ids: list[int], count: int, end: int | None = None) -> list[int]:
    """What `generate` of transformers writes without sampling; `end` is the id that ends it, if any."""
    import torch
    import transformers

    # The model's own, for what another leaves out is taken from it: an id that ends the text among the rest.
    model.generation_config = transformers.GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=0)
    text = torch.tensor([ids])
    with torch.no_grad():
        whole = model.generate(text, attention_mask=torch.ones_like(text), max_new_tokens=count)
    found: list[int] = whole[0].tolist()
    return found[len(ids) :]


def closest(model: Any, ids: list[int]) -> float:
    """The smallest lead that any token of a text has as the greedy choice, as a part of the range of logits."""
    rows = logits(model, ids)
    best = np.sort(rows, axis=1)[:, -2:]
    return float((best[:, 1] - best[:, 0]).min() / np.ptp(rows))
