"""GPT-2 (Radford et al., 2019, "Language Models are Unsupervised Multitask Learners"), as Hugging Face transformers
runs it.

One forward pass. Each line states the shape of its result, and names the site at which it can be looked at and changed
(`glassformer.models.observer`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from glassformer.models.config import GPT2Config
from glassformer.models.editing import Run
from glassformer.models.fusion import Rows, activated, added, attended, normalized, normalized_for, projected
from glassformer.models.observer import UNOBSERVED, Observation, Observer
from glassformer.models.observing import Look, Looks
from glassformer.models.steps import Steps, run_now
from glassformer.models.weights import Block, Weights
from glassformer.runtime.arrays import ShapeError
from glassformer.runtime.batch import Batch, Part, form_of, passes
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.frames import Frame, Place
from glassformer.runtime.kv_cache import KVCache, Layout, Spare, blocks_of, shared_caches
from glassformer.runtime.quantized import QuantizedMatrix
from glassformer.runtime.sampling import Sampler

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]

CHUNK = 512  # rows of a pass: longer prompts come in pieces, so that buffers stay small and plans serve again


class GPT2:
    """The architecture with its weights; `ops` decides where and on how many threads it runs.

    cache_dtype: how caches hold keys and values: "f32", "f16" or "q8"; "auto" is q8 beside quantised weights, whose
    error is far larger than that of keys and values in eight bits, and f32 otherwise.
    """

    def __init__(self, config: GPT2Config, weights: Weights, ops: Ops, cache_dtype: str = "auto") -> None:
        self.config, self.weights, self.ops = config, weights, ops
        if cache_dtype == "auto":
            cache_dtype = "q8" if isinstance(weights.lm_head, QuantizedMatrix) else "f32"
        self.layout = Layout(config.n_layer, config.n_head, config.head_dim, cache_dtype)
        self.spare = Spare()
        self.looks = Looks(config)
        self.steps = Steps(ops.executor, self.step) if isinstance(ops.executor, Eager) else None

    @property
    def places(self) -> Mapping[str, Place]:
        """The sites, and the shape of what is found at each."""
        return self.looks.places

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for so many tokens."""
        return KVCache.alone(self.layout, capacity, self.spare)

    def new_caches(self, capacities: Sequence[int]) -> list[KVCache]:
        """Empty caches that can be read and written in one batch."""
        return shared_caches(self.layout, capacities, self.spare)

    def forward(
        self, ids: Int32, cache: KVCache, *, last_only: bool = True, observation: Observation | None = None,
        frame: Frame | None = None,
    ) -> Float32:  # fmt: skip
        """Logits after new tokens, whose keys and values join the cache.

        ids: [tokens] -> [1, vocab_size] for the last one, or [tokens, vocab_size]. `tokens` = 0 gives no rows.
        observation: what is looked at and changed on the way; what it captures goes into the frame.
        """
        return self.forward_batch([(ids, cache)], last_only=last_only, observation=observation, frame=frame)

    def forward_batch(
        self, parts: Sequence[Part], *, last_only: bool = True, observation: Observation | None = None,
        frame: Frame | None = None,
    ) -> Float32:  # fmt: skip
        """The same for new tokens of several sequences at once, whose caches were made together.

        parts: (ids [tokens], cache) -> [parts, vocab_size] after the last token of each, or [all tokens, vocab_size].
        Each sequence's logits are the same bits as alone. Parts without tokens give no rows.
        """
        numbers = [number for number, (ids, _) in enumerate(parts) if len(ids)]
        parts = [part for part in parts if len(part[0])]
        for ids, cache in parts:
            self.check(ids, cache)
        tokens = sum(len(ids) for ids, _ in parts)
        look = None if observation is None else Look(observation, frame, self.places)
        if look is not None:
            self.looks.check(look, tokens)
        for ids, cache in parts:
            cache.reserve(len(ids))
        if not parts:
            return np.empty((0, self.config.vocab_size), np.float32)
        if look is None and tokens <= CHUNK:
            return self.run(parts, last_only)
        if tokens == 1:
            return self.run(parts, last_only, look, [Run(numbers[0], 0, parts[0][1].length, 1)])
        starts = np.cumsum([0, *(len(ids) for ids, _ in parts)])
        found: list[Float32] = []
        for group in passes(parts, CHUNK if look is None or look.observation.call is None else tokens):
            pieces = [(piece.ids, parts[piece.part][1]) for piece in group]
            runs = [
                Run(numbers[piece.part], int(starts[piece.part]) + piece.first, cache.length, len(ids))
                for piece, (ids, cache) in zip(group, pieces, strict=True)
            ]
            logits = self.run(pieces, last_only, look, runs)
            whole = not last_only or all(piece.ends for piece in group)
            found.append(logits if whole else logits[[piece.ends for piece in group]])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def sampler(self) -> Sampler:
        """What chooses tokens, on the network's threads."""
        return Sampler(self.config.vocab_size, None if self.steps is None else self.steps.executor)

    def decode(
        self, token: int, cache: KVCache, sampler: Sampler, count: int, *, observation: Observation | None = None,
        frame: Frame | None = None,
    ) -> None:  # fmt: skip
        """Read a token, choose the next one, read that: `count` times in one go. `sampler.found()` are those chosen.

        The sampler has been asked for so many tokens. The last one is not read, as with `forward`. observation: what is
        captured at each step, into a frame of so many steps.
        """
        sampler.check_room(count)
        ids = np.full(count, token, np.int32)  # of which the first counts
        self.check(ids, cache)
        look = None if observation is None else Look(observation, frame, self.places)
        if look is not None:
            self.looks.check_steps(look, count)
        cache.reserve(count)
        assert self.steps is not None
        blocks = blocks_of(self.config.n_positions)
        form = form_of([(ids[:1], cache)], self.ops.executor.target.vector_bits, last_only=True, blocks=blocks)
        self.steps.decode(form, (ids[:1], cache), sampler, count, look, [Run(0, 0, cache.length, 1)])
        cache.advance(count)

    def keep_plans(self, nbytes: int) -> None:
        """Let plans with buffers of so many bytes wait to be used again, where batches of many forms take turns."""
        if self.steps is not None:
            self.steps.kept = max(self.steps.kept, nbytes)

    def check(self, ids: Int32, cache: KVCache) -> None:
        """Refuse tokens that there is no room for, and ids beyond the vocabulary, which kernels look up unchecked."""
        cache.check_room(len(ids))
        end, window, vocab_size = cache.length + len(ids), self.config.n_positions, self.config.vocab_size
        if end > window:
            raise ShapeError(f"{end} tokens exceed the context window: the model has {window} positions")
        low, high = (int(ids[0]),) * 2 if len(ids) == 1 else (int(ids.min()), int(ids.max()))
        if not 0 <= low <= high < vocab_size:
            raise ShapeError(f"token {low if low < 0 else high} is not among the {vocab_size} of the vocabulary")

    def run(
        self, parts: Sequence[Part], last_only: bool, look: Look | None = None, runs: Sequence[Run] = ()
    ) -> Float32:
        """One pass over tokens that have been checked, through its plan where there is one."""
        bits = self.ops.executor.target.vector_bits
        counts = [len(ids) for ids, _ in parts]
        # Sites behind the last layer have all rows, whoever needs the logits.
        every = look is not None and look.observation.final and counts != [1]
        form = form_of(parts, bits, last_only=last_only and not every, blocks=blocks_of(self.config.n_positions))
        if self.steps is not None and (look is None or look.observation.call is None):
            logits = self.steps.run(form, parts, look, runs)
        else:
            logits = run_now(self.ops, self.step, form, parts, look, runs)
        if last_only and every:
            logits = logits[np.cumsum(counts) - 1]
        logits = logits[: len(parts) if last_only else sum(counts)]  # a form may have more rows
        for ids, cache in parts:
            cache.advance(len(ids))
        return logits

    def step(self, ops: Ops, batch: Batch, observer: Observer = UNOBSERVED) -> Float32:
        """The forward pass of a batch's rows -> [parts or rows, vocab_size]."""
        w, see, start = self.weights, observer.see, observer.start
        ops.executor.mark("embed")
        if start is None:
            embed = see(ops, "hook_embed", ops.embedding(w.wte, batch.ids))  # [rows, n_embd]
            pos_embed = see(ops, "hook_pos_embed", ops.embedding(w.wpe, batch.positions))  # [rows, n_embd]
            x = ops.add(embed, pos_embed)  # [rows, n_embd]
        else:
            x = observer.residual(ops)  # [rows, n_embd]
        for layer in range(start or 0, self.config.n_layer):
            x = self.block(ops, layer, w.h[layer], x, batch, observer)  # [rows, n_embd]
        ops.executor.mark("unembed")
        if batch.form.last_only and batch.form.parts < batch.form.rows:
            x = ops.embedding(x, batch.last)  # [parts, n_embd]
        x = normalized(ops, w.ln_f, self.epsilon, x, "ln_final.hook_normalized", observer)  # [parts or rows, n_embd]
        logits = see(ops, "hook_logits", ops.linear(x, w.lm_head))  # [parts or rows, vocab_size]
        observer.end(ops)
        return logits

    def block(self, ops: Ops, layer: int, block: Block, x: Float32, batch: Batch, observer: Observer) -> Float32:
        """One layer: attention, then the feed-forward network, each added to the residual stream."""
        see, at = observer.see, f"blocks.{layer}."
        ops.executor.mark(at + "attn")
        x = see(ops, at + "hook_resid_pre", x)  # [rows, n_embd]
        y = normalized_for(
            ops, block.c_attn.weight, block.ln_1, self.epsilon, x, at + "ln1.hook_normalized", observer
        )  # [rows, n_embd]
        z = self.attention(ops, layer, block, y, batch, observer)  # [rows, n_head, head_dim]
        x = projected(ops, x, z, block.attn_c_proj, at, "hook_attn_out", observer)  # [rows, n_embd]
        x = see(ops, at + "hook_resid_mid", x)  # [rows, n_embd]
        ops.executor.mark(at + "mlp")
        y = normalized_for(
            ops, block.c_fc.weight, block.ln_2, self.epsilon, x, at + "ln2.hook_normalized", observer
        )  # [rows, n_embd]
        y = self.neurons(ops, layer, block, y, observer)  # [rows, n_inner]
        x = added(ops, x, y, block.mlp_c_proj, at + "hook_mlp_out", observer)  # [rows, n_embd]
        return see(ops, at + "hook_resid_post", x)

    def attention(self, ops: Ops, layer: int, block: Block, x: Rows, batch: Batch, observer: Observer) -> Float32:
        """Causal self-attention (Vaswani et al., 2017) over the caches and the new tokens, before its projection."""
        config, see, at = self.config, observer.see, f"blocks.{layer}.attn."
        heads = (batch.form.rows, 3, config.n_head, config.head_dim)
        qkv = ops.linear(x, block.c_attn.weight, block.c_attn.bias).reshape(heads)  # [rows, 3, n_head, head_dim]
        q = see(ops, at + "hook_q", qkv[:, 0])  # [rows, n_head, head_dim]
        k = see(ops, at + "hook_k", qkv[:, 1])  # [rows, n_head, head_dim]
        v = see(ops, at + "hook_v", qkv[:, 2])  # [rows, n_head, head_dim]
        scores, pattern = at + "hook_attn_scores", at + "hook_pattern"  # [n_head, rows, keys]
        z = attended(
            ops, q, k, v, batch, layer, self.scale(layer), scores, pattern, observer
        )  # [rows, n_head, head_dim]
        return see(ops, at + "hook_z", z)

    def scale(self, layer: int) -> float:
        """What attention scores are multiplied by."""
        scale = self.config.head_dim**-0.5 if self.config.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.config.scale_attn_by_inverse_layer_idx else scale

    def neurons(self, ops: Ops, layer: int, block: Block, x: Rows, observer: Observer) -> Rows:
        """The feed-forward network up to its activations: [rows, n_embd] -> [rows, n_inner]."""
        pre, post = f"blocks.{layer}.mlp.hook_pre", f"blocks.{layer}.mlp.hook_post"  # [rows, n_inner] both
        return activated(ops, block.mlp_c_proj.weight, x, block.c_fc, self.config.activation, pre, post, observer)

    @property
    def epsilon(self) -> float:
        """What layer normalisation adds to the variance."""
        return self.config.layer_norm_epsilon
