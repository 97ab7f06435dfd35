"""ONNX Runtime: GPT-2 as a plain ONNX graph with a cache, which its optimiser fuses as it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.formats.safetensors import open_safetensors
from glassformer.models.config import GPT2Config
from peer_stepwise import Stepwise

Ids = npt.NDArray[np.int32]
OPSET = 20  # the first with Gelu


class Graph:
    """Nodes and constants under construction; `call` adds a node and names its result."""

    def __init__(self, weights: Any) -> None:
        import onnx

        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.weights = weights

    def call(self, operation: str, *inputs: str, name: str = "", count: int = 1, **attributes: Any) -> Any:
        """A node with one result, or a list of `count`."""
        first = name or f"t{len(self.nodes)}"
        outputs = [first] if count == 1 else [f"{first}_{i}" for i in range(count)]
        self.nodes.append(self.onnx.helper.make_node(operation, list(inputs), outputs, **attributes))
        return outputs[0] if count == 1 else outputs

    def weight(self, name: str) -> str:
        """A tensor of the model."""
        return self.constant(name, np.asarray(self.weights[name], np.float32))

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """A constant by name, entered once."""
        if name not in self.constants:
            self.constants[name] = self.onnx.numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def numbers(self, *values: int) -> str:
        """A constant of whole numbers."""
        return self.constant(f"i{values}", np.array(values, np.int64))

    def linear(self, x: str, name: str) -> str:
        """x @ weight + bias."""
        product = self.call("MatMul", x, self.weight(name + ".weight"))
        return str(self.call("Add", product, self.weight(name + ".bias")))

    def norm(self, x: str, name: str, epsilon: float) -> str:
        """Layer normalisation."""
        weights = self.weight(name + ".weight"), self.weight(name + ".bias")
        return str(self.call("LayerNormalization", x, *weights, axis=-1, epsilon=epsilon))


def attention(graph: Graph, x: str, layer: int, config: GPT2Config) -> str:
    """Attention of one layer with its cache, before the projection."""
    heads, dim = config.n_head, config.head_dim
    qkv = graph.call("Split", graph.linear(x, f"h.{layer}.attn.c_attn"), count=3, axis=2, num_outputs=3)
    shape = graph.numbers(0, 0, heads, dim)
    q, k, v = (graph.call("Transpose", graph.call("Reshape", part, shape), perm=[0, 2, 1, 3]) for part in qkv)
    k = graph.call("Concat", f"past_k{layer}", k, name=f"k{layer}", axis=2)
    v = graph.call("Concat", f"past_v{layer}", v, name=f"v{layer}", axis=2)
    scores = graph.call("MatMul", q, graph.call("Transpose", k, perm=[0, 1, 3, 2]))
    scaled = graph.call("Mul", scores, graph.constant("scale", np.array(dim**-0.5, np.float32)))
    weights = graph.call("Softmax", graph.call("Add", scaled, "mask"), axis=-1)
    z = graph.call("Transpose", graph.call("MatMul", weights, v), perm=[0, 2, 1, 3])
    return str(graph.call("Reshape", z, graph.numbers(0, 0, heads * dim)))


def build(weights: Any, config: GPT2Config) -> bytes:
    """The model, as the bytes of an ONNX file."""
    graph = Graph(weights)
    helper, types = graph.onnx.helper, graph.onnx.TensorProto
    embed = graph.call("Gather", graph.weight("wte.weight"), "ids")
    x = graph.call("Add", embed, graph.call("Gather", graph.weight("wpe.weight"), "positions"))
    epsilon = config.layer_norm_epsilon
    for layer in range(config.n_layer):
        at = f"h.{layer}."
        z = attention(graph, graph.norm(x, at + "ln_1", epsilon), layer, config)
        x = graph.call("Add", x, graph.linear(z, at + "attn.c_proj"))
        y = graph.linear(graph.norm(x, at + "ln_2", epsilon), at + "mlp.c_fc")
        x = graph.call("Add", x, graph.linear(graph.call("Gelu", y, approximate="tanh"), at + "mlp.c_proj"))
    last = graph.call("Gather", x, graph.constant("last", np.array(-1)), axis=1)  # [sequences, n_embd]
    last = graph.norm(last, "ln_f", epsilon)
    graph.call("Gemm", last, graph.weight("wte.weight"), name="logits", transB=1)
    past = ["sequences", config.n_head, "past", config.head_dim]
    inputs = [("ids", types.INT64, ["sequences", "tokens"]), ("positions", types.INT64, ["tokens"]),
              ("mask", types.FLOAT, ["tokens", "all"])]  # fmt: skip
    inputs += [(f"past_{kind}{i}", types.FLOAT, past) for i in range(config.n_layer) for kind in "kv"]
    names = ["logits", *(f"{kind}{i}" for i in range(config.n_layer) for kind in "kv")]
    made = helper.make_graph(
        graph.nodes, "gpt2", [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(name, types.FLOAT, None) for name in names], list(graph.constants.values()),
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return bytes(model.SerializeToString())


class OnnxRuntime(Stepwise):
    """An inference session in float32."""

    def __init__(self, folder: Path, config: GPT2Config, kind: str, threads: int) -> None:
        import onnxruntime

        self.config, self.version = config, onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        with open_safetensors(folder / "model.safetensors") as file:
            model = build(file, config)
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def forward(self, ids: Ids, past: list[Any] | None = None) -> tuple[list[Any], npt.NDArray[np.float32]]:
        """ids: [sequences, tokens] -> the cache, and the last logits [sequences, vocab_size]."""
        if past is None:
            shape = (len(ids), self.config.n_head, 0, self.config.head_dim)
            past = [np.zeros(shape, np.float32)] * (2 * self.config.n_layer)
        before, tokens = past[0].shape[2], ids.shape[1]
        places = np.arange(before, before + tokens)
        mask = np.where(np.arange(before + tokens) <= places[:, None], 0, -np.inf).astype(np.float32)
        feed: dict[str, Any] = {"ids": ids.astype(np.int64), "positions": places, "mask": mask}
        names = [f"past_{kind}{i}" for i in range(self.config.n_layer) for kind in "kv"]
        logits, *held = self.session.run(None, feed | dict(zip(names, past, strict=True)))
        return held, logits
