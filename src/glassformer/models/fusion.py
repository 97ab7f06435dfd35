"""Operations of a forward pass that run as one where nobody looks between, and in parts that can be seen where somebody
does; to the same bits, but where the docstring says otherwise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glassformer.models.observer import Observer
from glassformer.models.weights import Linear, Matrix, Norm
from glassformer.runtime.batch import Batch
from glassformer.runtime.engine import Ops
from glassformer.runtime.quantized import QuantizedRows

Float32 = npt.NDArray[np.float32]
Rows = Float32 | QuantizedRows


def normalized(ops: Ops, norm: Norm, epsilon: float, x: Float32, site: str, observer: Observer) -> Float32:
    """Layer normalisation, which `site` names.  x: [rows, n_embd] -> as x.

    Within 1e-6 relative where what it divides by is changed.
    """
    scale_site = site.replace("hook_normalized", "hook_scale")
    scaled = None
    if observer.wants(scale_site):
        scale = ops.deviation(x, epsilon)  # [rows, 1]
        if observer.changes(scale_site):
            own = ops.layer_norm(x, np.ones_like(norm.weight), np.zeros_like(norm.bias), epsilon)  # [rows, n_embd]
            centred = ops.multiply(own, scale)  # [rows, n_embd]
            scaled = ops.divide(centred, observer.see(ops, scale_site, scale))  # [rows, n_embd]
        else:
            observer.see(ops, scale_site, scale)
    if scaled is None:
        y = ops.layer_norm(x, norm.weight, norm.bias, epsilon)  # [rows, n_embd]
    else:
        y = ops.add(ops.multiply(scaled, norm.weight), norm.bias)  # [rows, n_embd]
    return observer.see(ops, site, y)


def normalized_for(
    ops: Ops,
    matrix: Matrix,
    norm: Norm,
    epsilon: float,
    x: Float32,
    site: str,
    observer: Observer,
) -> Rows:
    """The same on its way into a product: in eight bits where nobody looks at it and the product takes these."""
    if observer.wants(site) or observer.wants(site.replace("hook_normalized", "hook_scale")):
        return normalized(ops, norm, epsilon, x, site, observer)
    return ops.layer_norm_for(matrix, x, norm.weight, norm.bias, epsilon)


def attended(
    ops: Ops, q: Float32, k: Float32, v: Float32, batch: Batch, layer: int, scale: float, scores_site: str,
    pattern_site: str, observer: Observer,
) -> Float32:  # fmt: skip
    """Causal attention.  q, k, v: [rows, n_head, head_dim] -> as q.

    Within 1e-6 relative where scores or pattern may be changed: softmax and mixing are then apart.
    """
    if observer.changes(scores_site) or observer.changes(pattern_site):
        scores = observer.see(ops, scores_site, ops.attention_scores(q, k, v, batch, layer, scale))
        pattern = observer.see(ops, pattern_site, ops.attention_pattern(scores, batch))  # [n_head, rows, keys]
        return ops.attention_mix(pattern, batch, layer)  # [rows, n_head, head_dim]
    kept = observer.target(scores_site), observer.target(pattern_site)
    return ops.attention_batch(q, k, v, batch, layer, scale, scores=kept[0], pattern=kept[1])


def projected(ops: Ops, x: Float32, z: Float32, linear: Linear, at: str, name: str, observer: Observer) -> Float32:
    """x + what attention adds to it.  x: [rows, n_embd], z: [rows, n_head, head_dim] -> as x.

    Within 1e-6 relative where the heads' results may be changed, which are then added up one by one.
    """
    rows, n_head, head_dim = z.shape
    site, sum_site, width = at + "attn.hook_result", at + name, n_head * head_dim
    flat = z.reshape(rows, width)  # [rows, n_embd]
    if not observer.wants(site):
        return added(ops, x, flat, linear, sum_site, observer)
    results = observer.see(ops, site, results_of(ops, z, linear.weight))  # [rows, n_head, n_embd]
    if not observer.changes(site):
        return added(ops, x, flat, linear, sum_site, observer)
    total = ops.matmul(np.ones((1, n_head), np.float32), results).reshape(rows, -1)  # [rows, n_embd]
    return ops.add(x, observer.see(ops, sum_site, ops.add(total, linear.bias)))


def results_of(ops: Ops, z: Float32, weight: Matrix) -> Float32:
    """What each head alone makes of its z, without the bias.  z: [rows, n_head, head_dim] -> [rows, n_head, n_embd]."""
    rows, n_head, head_dim = z.shape
    own = np.repeat(np.eye(n_head, dtype=np.float32), head_dim, axis=1)  # [n_head, n_embd]
    apart = ops.multiply(z.reshape(rows, 1, n_head * head_dim), own)  # [rows, n_head, n_embd]
    return ops.linear(apart.reshape(rows * n_head, -1), weight).reshape(rows, n_head, -1)


def activated(
    ops: Ops, matrix: Matrix, x: Rows, linear: Linear, activation: str, pre: str, post: str,
    observer: Observer,
) -> Rows:  # fmt: skip
    """activation(linear(x)) on its way into a product with `matrix`.  x: [rows, inputs] -> [rows, outputs]."""
    if not (observer.wants(pre) or observer.wants(post)):
        return ops.linear_for(matrix, x, linear.weight, linear.bias, activation=activation)
    if not observer.wants(pre):
        return observer.see(ops, post, ops.linear(x, linear.weight, linear.bias, activation=activation))
    y = observer.see(ops, pre, ops.linear(x, linear.weight, linear.bias))  # [rows, outputs]
    return observer.see(ops, post, ops.activation(activation, y))


def added(ops: Ops, x: Float32, y: Rows, linear: Linear, site: str, observer: Observer) -> Float32:
    """x + linear(y), in one operation where nobody looks at what is added.  x: [rows, outputs], y: [rows, inputs]."""
    if not observer.wants(site):
        return ops.linear(y, linear.weight, linear.bias, residual=x)
    return ops.add(x, observer.see(ops, site, ops.linear(y, linear.weight, linear.bias)))
