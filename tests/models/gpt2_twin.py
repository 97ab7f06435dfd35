"""GPT-2's forward pass in plain NumPy and float64: the definition that the engine is held to.

No cache, no threads, no packing: a whole text in, logits for every token out. It reads the checkpoint's own names.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config

Float64 = npt.NDArray[np.float64]
Tensors = Mapping[str, npt.NDArray[Any]]

erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu_new(x: Float64) -> Float64:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def gelu(x: Float64) -> Float64:
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def relu(x: Float64) -> Float64:
    return np.maximum(x, 0.0)


def silu(x: Float64) -> Float64:
    return x / (1.0 + np.exp(-x))


ACTIVATIONS: dict[str, Callable[[Float64], Float64]] = {
    "gelu_new": gelu_new, "gelu_pytorch_tanh": gelu_new, "gelu": gelu, "relu": relu, "silu": silu, "swish": silu,
    "tanh": np.tanh,
}  # fmt: skip


def softmax(x: Float64) -> Float64:
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return power / power.sum(axis=-1, keepdims=True)


def norm(w: Tensors, name: str, x: Float64, epsilon: float) -> Float64:
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * w[name + ".weight"] + w[name + ".bias"]


def linear(w: Tensors, name: str, x: Float64) -> Float64:
    return x @ w[name + ".weight"] + w[name + ".bias"]


def attention(config: GPT2Config, w: Tensors, layer: int, x: Float64) -> Float64:
    """x: [tokens, n_embd] -> the same; each token attends to itself and those before it."""
    tokens, n_head, head_dim = len(x), config.n_head, config.n_embd // config.n_head
    qkv = linear(w, f"h.{layer}.attn.c_attn", x).reshape(tokens, 3, n_head, head_dim)
    q, k, v = qkv.transpose(1, 2, 0, 3)  # each [n_head, tokens, head_dim]
    scores = q @ k.transpose(0, 2, 1)  # [n_head, tokens, tokens]
    if config.scale_attn_weights:
        scores = scores / math.sqrt(head_dim)
    if config.scale_attn_by_inverse_layer_idx:
        scores = scores / (layer + 1)
    future = np.triu(np.ones((tokens, tokens), bool), k=1)
    pattern = softmax(np.where(future, -np.inf, scores))  # [n_head, tokens, tokens]
    z = (pattern @ v).transpose(1, 0, 2).reshape(x.shape)  # [tokens, n_embd]
    return linear(w, f"h.{layer}.attn.c_proj", z)


def mlp(config: GPT2Config, w: Tensors, layer: int, x: Float64) -> Float64:
    """x: [tokens, n_embd] -> the same, by way of n_inner."""
    y = ACTIVATIONS[config.activation_function](linear(w, f"h.{layer}.mlp.c_fc", x))  # [tokens, n_inner]
    return linear(w, f"h.{layer}.mlp.c_proj", y)


def logits(config: GPT2Config, w: Tensors, ids: list[int]) -> Float64:
    """ids: [tokens] -> [tokens, vocab_size]."""
    epsilon = config.layer_norm_epsilon
    x = w["wte.weight"][ids] + w["wpe.weight"][: len(ids)]  # [tokens, n_embd]
    for layer in range(config.n_layer):
        x = x + attention(config, w, layer, norm(w, f"h.{layer}.ln_1", x, epsilon))
        x = x + mlp(config, w, layer, norm(w, f"h.{layer}.ln_2", x, epsilon))
    head = w["wte.weight"] if config.tie_word_embeddings else w["lm_head.weight"]
    result: Float64 = norm(w, "ln_f", x, epsilon) @ head.T
    return result


def greedy(config: GPT2Config, w: Tensors, ids: list[int], count: int) -> list[int]:
    """The `count` most probable tokens, one after the other."""
    text = list(ids)
    for _ in range(count):
        text.append(int(np.argmax(logits(config, w, text)[-1])))
    return text[len(ids) :]


def error(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """The greatest difference of logits, as a part of the range of those expected."""
    span = float(expected.max()) - float(expected.min())
    return float(np.abs(found - expected).max()) / max(span, 1e-30)
