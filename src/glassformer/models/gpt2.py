"""GPT-2 (Radford et al., 2019, "Language Models are Unsupervised Multitask Learners"), as Hugging Face transformers
runs it.

One forward pass. Each line states the shape of its result, and names the site at which it can be observed: `see(name,
x)` is given every intermediate value and may return another in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config
from glassformer.models.steps import Steps
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.batch import Batch, Part, form_of, passes
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.kv_cache import KVCache, Layout, Spare, blocks_of, shared_caches
from glassformer.runtime.packed import PackedMatrix, Table
from glassformer.runtime.quantized import QuantizedMatrix, QuantizedRows
from glassformer.runtime.sampling import Sampler

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Matrix = PackedMatrix | QuantizedMatrix
Rows = Float32 | QuantizedRows
See = Callable[[str, Any], Any]

CHUNK = 512  # rows of a pass: longer prompts come in pieces, so that buffers stay small and plans serve again


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
    """The architecture with its weights; `ops` decides where and on how many threads it runs.

    cache_dtype: how caches hold keys and values: "f32", "f16" or "q8"; "auto" is f16 beside quantised weights, whose
    error is far larger than f16's, and f32 otherwise.
    """

    def __init__(self, config: GPT2Config, weights: Weights, ops: Ops, cache_dtype: str = "auto") -> None:
        self.config, self.weights, self.ops = config, weights, ops
        if cache_dtype == "auto":
            cache_dtype = "f16" if isinstance(weights.lm_head, QuantizedMatrix) else "f32"
        self.layout = Layout(config.n_layer, config.n_head, config.head_dim, cache_dtype)
        self.spare = Spare()
        self.steps = Steps(ops.executor, self.step) if isinstance(ops.executor, Eager) else None

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for so many tokens."""
        return KVCache.alone(self.layout, capacity, self.spare)

    def new_caches(self, capacities: Sequence[int]) -> list[KVCache]:
        """Empty caches that can be read and written in one batch."""
        return shared_caches(self.layout, capacities, self.spare)

    def forward(self, ids: Int32, cache: KVCache, *, last_only: bool = True, see: See = unobserved) -> Float32:
        """Logits after new tokens, whose keys and values join the cache.

        ids: [tokens] -> [1, vocab_size] for the last one, or [tokens, vocab_size]. `tokens` = 0 gives no rows.
        """
        return self.forward_batch([(ids, cache)], last_only=last_only, see=see)

    def forward_batch(self, parts: Sequence[Part], *, last_only: bool = True, see: See = unobserved) -> Float32:
        """The same for new tokens of several sequences at once, whose caches were made together.

        parts: (ids [tokens], cache) -> [parts, vocab_size] after the last token of each, or [all tokens, vocab_size].
        Each sequence's logits are the same bits as alone. Parts without tokens give no rows.
        """
        parts = [part for part in parts if len(part[0])]
        for ids, cache in parts:
            self.check(ids, cache)
        for ids, cache in parts:
            cache.reserve(len(ids))
        if not parts:
            return np.empty((0, self.config.vocab_size), np.float32)
        if see is not unobserved or sum(len(ids) for ids, _ in parts) <= CHUNK:
            return self.run(parts, last_only, see)
        found: list[Float32] = []
        for group in passes(parts, CHUNK):
            logits = self.run([(piece.ids, parts[piece.part][1]) for piece in group], last_only, see)
            whole = not last_only or all(piece.ends for piece in group)
            found.append(logits if whole else logits[[piece.ends for piece in group]])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def decode(self, token: int, cache: KVCache, sampler: Sampler, count: int) -> None:
        """Read a token, choose the next one, read that: `count` times in one go. `sampler.found()` are those chosen.

        The sampler has been asked for so many tokens. The last one is not read, as with `forward`.
        """
        ids = np.full(count, token, np.int32)  # of which the first counts
        self.check(ids, cache)
        cache.reserve(count)
        assert self.steps is not None
        blocks = blocks_of(self.config.n_positions)
        form = form_of([(ids[:1], cache)], self.ops.executor.target.vector_bits, last_only=True, blocks=blocks)
        self.steps.decode(form, (ids[:1], cache), sampler, count)
        cache.advance(count)

    def check(self, ids: Int32, cache: KVCache) -> None:
        """Refuse tokens that there is no room for, and ids beyond the vocabulary, which kernels look up unchecked."""
        cache.check_room(len(ids))
        end, window, vocab_size = cache.length + len(ids), self.config.n_positions, self.config.vocab_size
        if end > window:
            raise ShapeError(f"{end} tokens exceed the context window: the model has {window} positions")
        low, high = (int(ids[0]),) * 2 if len(ids) == 1 else (int(ids.min()), int(ids.max()))
        if not 0 <= low <= high < vocab_size:
            raise ShapeError(f"token {low if low < 0 else high} is not among the {vocab_size} of the vocabulary")

    def run(self, parts: Sequence[Part], last_only: bool, see: See) -> Float32:
        """One pass over tokens that have been checked, through its plan where nobody looks."""
        bits = self.ops.executor.target.vector_bits
        form = form_of(parts, bits, last_only=last_only, blocks=blocks_of(self.config.n_positions))
        if see is unobserved and self.steps is not None:
            logits = self.steps.run(form, parts)
        else:
            batch = Batch.empty(form, parts[0][1].pool.memory)
            batch.fill(parts)
            logits = self.step(self.ops, batch, see)
        logits = logits[: len(parts) if last_only else sum(len(ids) for ids, _ in parts)]  # a form may have more rows
        for ids, cache in parts:
            cache.advance(len(ids))
        return logits

    def step(self, ops: Ops, batch: Batch, see: See = unobserved) -> Float32:
        """The forward pass of a batch's rows -> [parts or rows, vocab_size]."""
        w = self.weights
        ops.executor.mark("embed")
        embed = see("hook_embed", ops.embedding(w.wte, batch.ids))  # [rows, n_embd]
        pos_embed = see("hook_pos_embed", ops.embedding(w.wpe, batch.positions))  # [rows, n_embd]
        x = ops.add(embed, pos_embed)  # [rows, n_embd]
        for layer, block in enumerate(w.h):
            x = self.block(ops, layer, block, x, batch, see)  # [rows, n_embd]
        ops.executor.mark("unembed")
        if batch.form.last_only and batch.form.parts < batch.form.rows:
            x = ops.embedding(x, batch.last)  # [parts, n_embd]
        x = see("ln_final.hook_normalized", self.norm(ops, w.ln_f, x))  # [parts or rows, n_embd]
        logits: Float32 = see("hook_logits", ops.linear(x, w.lm_head))  # [parts or rows, vocab_size]
        return logits

    def block(self, ops: Ops, layer: int, block: Block, x: Float32, batch: Batch, see: See) -> Float32:
        """One layer: attention, then the feed-forward network, each added to the residual stream."""
        at = f"blocks.{layer}."
        ops.executor.mark(at + "attn")
        x = see(at + "hook_resid_pre", x)  # [rows, n_embd]
        y = self.norm_for(ops, block.ln_1, block.c_attn, x, at + "ln1.hook_normalized", see)  # [rows, n_embd]
        z = self.attention(ops, layer, block, y, batch, see)  # [rows, n_embd]
        x = added(ops, x, z, block.attn_c_proj, at + "hook_attn_out", see)  # [rows, n_embd]
        x = see(at + "hook_resid_mid", x)  # [rows, n_embd]
        ops.executor.mark(at + "mlp")
        y = self.norm_for(ops, block.ln_2, block.c_fc, x, at + "ln2.hook_normalized", see)  # [rows, n_embd]
        y = self.neurons(ops, layer, block, y, see)  # [rows, n_inner]
        x = added(ops, x, y, block.mlp_c_proj, at + "hook_mlp_out", see)  # [rows, n_embd]
        return see(at + "hook_resid_post", x)  # type: ignore[no-any-return]

    def attention(self, ops: Ops, layer: int, block: Block, x: Rows, batch: Batch, see: See) -> Float32:
        """Causal self-attention (Vaswani et al., 2017) over the caches and the new tokens, before its projection."""
        config, at = self.config, f"blocks.{layer}.attn."
        heads = (batch.form.rows, 3, config.n_head, config.head_dim)
        qkv = ops.linear(x, block.c_attn.weight, block.c_attn.bias).reshape(heads)  # [rows, 3, n_head, head_dim]
        q = see(at + "hook_q", qkv[:, 0])  # [rows, n_head, head_dim]
        k = see(at + "hook_k", qkv[:, 1])  # [rows, n_head, head_dim]
        v = see(at + "hook_v", qkv[:, 2])  # [rows, n_head, head_dim]
        z = see(at + "hook_z", ops.attention_batch(q, k, v, batch, layer, self.scale(layer)))  # as q
        return z.reshape(batch.form.rows, config.n_embd)  # type: ignore[no-any-return]

    def scale(self, layer: int) -> float:
        """What attention scores are multiplied by."""
        scale = self.config.head_dim**-0.5 if self.config.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.config.scale_attn_by_inverse_layer_idx else scale

    def neurons(self, ops: Ops, layer: int, block: Block, x: Rows, see: See) -> Rows:
        """The feed-forward network up to its activations: [rows, n_embd] -> [rows, n_inner]."""
        at, fc, activation = f"blocks.{layer}.mlp.", block.c_fc, self.config.activation
        if see is unobserved:
            return ops.linear_for(block.mlp_c_proj.weight, x, fc.weight, fc.bias, activation=activation)
        y = see(at + "hook_pre", ops.linear(x, fc.weight, fc.bias))  # [rows, n_inner]
        return see(at + "hook_post", ops.activation(activation, y))  # type: ignore[no-any-return]

    def norm(self, ops: Ops, norm: Norm, x: Float32) -> Float32:
        """Layer normalisation with the model's epsilon.  [rows, n_embd] -> the same."""
        return ops.layer_norm(x, norm.weight, norm.bias, self.config.layer_norm_epsilon)

    def norm_for(self, ops: Ops, norm: Norm, linear: Linear, x: Float32, site: str, see: See) -> Rows:
        """The same, on its way into a product: in eight bits where nobody looks at it and the product takes these."""
        if see is unobserved:
            return ops.layer_norm_for(linear.weight, x, norm.weight, norm.bias, self.config.layer_norm_epsilon)
        return see(site, self.norm(ops, norm, x))  # type: ignore[no-any-return]


def added(ops: Ops, x: Float32, y: Rows, linear: Linear, site: str, see: See) -> Float32:
    """x + linear(y), in one operation where nobody looks at what is added; the same bits either way.

    x: [rows, outputs], y: [rows, inputs] -> as x.
    """
    if see is unobserved:
        return ops.linear(y, linear.weight, linear.bias, residual=x)
    return ops.add(x, see(site, ops.linear(y, linear.weight, linear.bias)))
