"""GPT-2 (Radford et al., 2019, "Language Models are Unsupervised Multitask Learners"), as Hugging Face transformers
runs it.

One forward pass. Each line states the shape of its result, and names the site at which it can be observed: `see(name,
x)` is given every intermediate value and may return another in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.kv_cache import KVCache
from glassformer.runtime.packed import PackedMatrix, Table
from glassformer.runtime.plan import Recorder
from glassformer.runtime.quantized import QuantizedMatrix

Float32 = npt.NDArray[np.float32]
Matrix = PackedMatrix | QuantizedMatrix
See = Callable[[str, Any], Any]


def unobserved(site: str, x: Float32) -> Float32:
    """The observer that looks at nothing."""
    return x


@dataclass(frozen=True, eq=False)
class Linear:
    """weight: [inputs, outputs], bias: [outputs]."""

    weight: Matrix
    bias: Float32


@dataclass(frozen=True, eq=False)
class Norm:
    """weight, bias: [n_embd]."""

    weight: Float32
    bias: Float32


@dataclass(frozen=True, eq=False)
class Block:
    """The weights of one layer, by the checkpoint's names."""

    ln_1: Norm
    c_attn: Linear  # n_embd -> q, k, v
    attn_c_proj: Linear  # n_embd -> n_embd
    ln_2: Norm
    c_fc: Linear  # n_embd -> n_inner
    mlp_c_proj: Linear  # n_inner -> n_embd


@dataclass(frozen=True, eq=False)
class Weights:
    """All weights; `wte` is packed as [n_embd, vocab_size] and serves as the head where the two are tied."""

    wte: Matrix
    wpe: Table
    h: tuple[Block, ...]
    ln_f: Norm
    lm_head: Matrix

    @property
    def nbytes(self) -> int:
        """Bytes held, a tied head counted once."""
        linears = [p for b in self.h for p in (b.c_attn, b.attn_c_proj, b.c_fc, b.mlp_c_proj)]
        norms = [self.ln_f, *(n for b in self.h for n in (b.ln_1, b.ln_2))]
        head = 0 if self.lm_head is self.wte else self.lm_head.nbytes
        small = sum(p.bias.nbytes for p in linears) + sum(n.weight.nbytes + n.bias.nbytes for n in norms)
        return self.wte.nbytes + self.wpe.nbytes + head + small + sum(p.weight.nbytes for p in linears)


class GPT2:
    """The architecture with its weights; `ops` decides where and on how many threads it runs."""

    def __init__(self, config: GPT2Config, weights: Weights, ops: Ops) -> None:
        self.config, self.weights, self.ops = config, weights, ops

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for so many tokens."""
        return KVCache(self.config.n_layer, self.config.n_head, self.config.head_dim, capacity)

    def forward(
        self, ids: npt.NDArray[np.int32], cache: KVCache, *, last_only: bool = True, see: See = unobserved
    ) -> Float32:
        """Logits after new tokens, whose keys and values join the cache.

        ids: [tokens] -> [1, vocab_size] for the last one, or [tokens, vocab_size]. `tokens` = 0 gives no rows. One
        token that nobody looks at goes through the cache's plan; the launches, and so the bits, are the same.
        """
        cache.check_room(len(ids))
        end, window = cache.length + len(ids), self.config.n_positions
        if end > window:  # a plan looks positions up unchecked
            raise ShapeError(f"{end} tokens exceed the context window: the model has {window} positions")
        if len(ids) == 1 and see is unobserved and isinstance(self.ops.executor, Eager):
            logits = self.planned(self.ops.executor, ids, cache)  # [1, vocab_size]
        else:
            positions = np.arange(cache.length, cache.length + len(ids), dtype=np.int32)  # [tokens]
            logits = self.step(self.ops, ids, positions, cache, last_only, see)  # [1 or tokens, vocab_size]
        cache.advance(len(ids))
        return logits

    def planned(self, executor: Eager, ids: npt.NDArray[np.int32], cache: KVCache) -> Float32:
        """One token through the plan of its cache, which is recorded when first needed."""
        if cache.plan is None or cache.plan.network is not self:
            cache.plan = DecodeStep(self, executor, cache)
        decode: DecodeStep = cache.plan
        return decode.run(int(ids[0]), cache.length)

    def step(
        self,
        ops: Ops,
        ids: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        cache: KVCache,
        last_only: bool,
        see: See,
    ) -> Float32:
        """The forward pass.  ids, positions: [tokens] -> [1 or tokens, vocab_size]."""
        w = self.weights
        embed = see("hook_embed", ops.embedding(w.wte, ids))  # [tokens, n_embd]
        pos_embed = see("hook_pos_embed", ops.embedding(w.wpe, positions))  # [tokens, n_embd]
        x = ops.add(embed, pos_embed)  # [tokens, n_embd]
        for layer, block in enumerate(w.h):
            x = self.block(ops, layer, block, x, cache, see)  # [tokens, n_embd]
        x = x[-1:] if last_only else x  # [1 or tokens, n_embd]
        x = see("ln_final.hook_normalized", self.norm(ops, w.ln_f, x))  # [1 or tokens, n_embd]
        logits: Float32 = see("hook_logits", ops.linear(x, w.lm_head))  # [1 or tokens, vocab_size]
        return logits

    def block(self, ops: Ops, layer: int, block: Block, x: Float32, cache: KVCache, see: See) -> Float32:
        """One layer: attention, then the feed-forward network, each added to the residual stream."""
        at = f"blocks.{layer}."
        x = see(at + "hook_resid_pre", x)  # [tokens, n_embd]
        y = see(at + "ln1.hook_normalized", self.norm(ops, block.ln_1, x))  # [tokens, n_embd]
        y = see(at + "hook_attn_out", self.attention(ops, layer, block, y, cache, see))  # [tokens, n_embd]
        x = see(at + "hook_resid_mid", ops.add(x, y))  # [tokens, n_embd]
        y = see(at + "ln2.hook_normalized", self.norm(ops, block.ln_2, x))  # [tokens, n_embd]
        y = see(at + "hook_mlp_out", self.mlp(ops, layer, block, y, see))  # [tokens, n_embd]
        x = see(at + "hook_resid_post", ops.add(x, y))  # [tokens, n_embd]
        return x

    def attention(self, ops: Ops, layer: int, block: Block, x: Float32, cache: KVCache, see: See) -> Float32:
        """Causal self-attention (Vaswani et al., 2017) over the cache and the new tokens."""
        config, at = self.config, f"blocks.{layer}.attn."
        heads = (len(x), 3, config.n_head, config.head_dim)
        qkv = ops.linear(x, block.c_attn.weight, block.c_attn.bias).reshape(heads)  # [tokens, 3, n_head, head_dim]
        q = see(at + "hook_q", qkv[:, 0])  # [tokens, n_head, head_dim]
        k = see(at + "hook_k", qkv[:, 1])  # [tokens, n_head, head_dim]
        v = see(at + "hook_v", qkv[:, 2])  # [tokens, n_head, head_dim]
        z = see(at + "hook_z", ops.attention(q, k, v, cache, layer, self.scale(layer)))  # [tokens, n_head, head_dim]
        return ops.linear(z.reshape(x.shape), block.attn_c_proj.weight, block.attn_c_proj.bias)  # [tokens, n_embd]

    def scale(self, layer: int) -> float:
        """What attention scores are multiplied by."""
        scale = self.config.head_dim**-0.5 if self.config.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.config.scale_attn_by_inverse_layer_idx else scale

    def mlp(self, ops: Ops, layer: int, block: Block, x: Float32, see: See) -> Float32:
        """The feed-forward network: widen, activate, narrow."""
        at = f"blocks.{layer}.mlp."
        y = see(at + "hook_pre", ops.linear(x, block.c_fc.weight, block.c_fc.bias))  # [tokens, n_inner]
        y = see(at + "hook_post", ops.activation(self.config.activation, y))  # [tokens, n_inner]
        return ops.linear(y, block.mlp_c_proj.weight, block.mlp_c_proj.bias)  # [tokens, n_embd]

    def norm(self, ops: Ops, norm: Norm, x: Float32) -> Float32:
        """Layer normalisation with the model's epsilon.  [tokens, n_embd] -> the same."""
        return ops.layer_norm(x, norm.weight, norm.bias, self.config.layer_norm_epsilon)


class DecodeStep:
    """The forward pass of one token as a plan: its id and position are inputs, the cache's buffers are fixed."""

    def __init__(self, network: GPT2, executor: Eager, cache: KVCache) -> None:
        self.network = network
        self.token, self.position = np.zeros(1, np.int32), np.zeros(1, np.int32)  # [1] each
        recorder = Recorder(executor)
        # [1, vocab_size], written anew by every run
        self.logits = network.step(Ops(recorder), self.token, self.position, cache, True, unobserved)
        self.plan = recorder.plan()

    def run(self, token: int, position: int) -> Float32:
        """Logits after a token: [1, vocab_size]."""
        vocab_size = self.network.config.vocab_size
        if not 0 <= token < vocab_size:
            raise ShapeError(f"token {token} is not among the {vocab_size} of the vocabulary")
        self.token[0], self.position[0] = token, position
        self.plan.replay()
        return self.logits.copy()
