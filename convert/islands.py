"""Which operators of an ONNX model are quantized with calibrated ranges: products, and what lies between two of them.

ONNX Runtime fuses an operator with the QuantizeLinear and DequantizeLinear around it into one with an 8-bit kernel.
Where it has none, or a neighbour stays in float, the two are operators of their own and cost more than they give: a
network in which all that can be is quantized was slower than float32 (attention 1.27 of its latency, these 1.03).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from edgepack.convert.passes.readers import Reader, name_of, readers_of
from edgepack.convert.setting import Setting

PRODUCTS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
"""What is worth quantizing by itself, where its weights are constant."""

BETWEEN: Mapping[str, int] = {
    "Add": 2, "Mul": 2, "Concat": 99, "Relu": 1, "Clip": 1, "Sigmoid": 1, "LeakyRelu": 1, "MaxPool": 1,
    "AveragePool": 1, "GlobalAveragePool": 1, "Reshape": 1, "Transpose": 1, "Squeeze": 1, "Unsqueeze": 1, "Flatten": 1,
    "Slice": 1, "Pad": 1, "Split": 1, "Resize": 1,
}  # fmt: skip
"""Operators with an 8-bit kernel, or that only move numbers, with how many of their inputs are what they compute with.

They are quantized where each of those comes from a quantized operator and a quantized operator reads the result.
"""

STAY_FLOAT: Mapping[str, str] = {
    "Softmax": "8 bits hold 256 steps of probability: 7 dB were lost on a classifier, and nothing was gained",
    "LayerNormalization": "a sum of squares is wider than 8 bits; a file holds it as ReduceMean, Sub and Mul",
    "ReduceMean": "no 8-bit kernel in ONNX Runtime; over all pixels it becomes GlobalAveragePool, which has one",
    "MatMul of two activations": "attention scores: 1.06 of float32 instead of 1.03, and less exact",
    "MatMul and Gemm under 4,096 weights": "conversions cost more: 1.35 of float32 instead of 1.11 on a toy",
    "HardSigmoid, HardSwish, Erf, Tanh, Exp, Sub, Div": "no 8-bit kernel in ONNX Runtime",
    "LSTM": "no kernel with calibrated ranges; dynamic_int8 has one",
    "GRU, RNN": "no 8-bit kernel in ONNX Runtime; their weights are stored in int8",
}
"""What stays in float, and why: measured in ONNX Runtime 1.31 with one thread."""

_FEWEST_MULTIPLIED = 4096


def quantized_nodes(model: Any, setting: Setting) -> list[str]:
    """The names of the nodes to quantize, in the order of the graph.

    `float_operators` in place of None takes all that the quantizer knows instead, but for those.
    """
    floats = floats_of(model, setting)
    chosen = setting.options.float_operators
    if chosen is not None:
        return [name_of(node) for node in model.graph.node if name_of(node) not in floats]
    sizes = {one.name: int(np.prod(one.dims)) for one in model.graph.initializer}
    products = [node for node in model.graph.node if _multiplies(node, sizes) and name_of(node) not in floats]
    large = [node for node in products if _is_large(node, sizes)]
    # Where the small ones hold most of the weights there is no other way to 8 bits.
    most = 2 * sum(_size(node, sizes) for node in large) >= sum(_size(node, sizes) for node in products)
    kept = {name_of(node) for node in (large if most else products)}
    return _grown(model.graph, kept, floats, sizes)


def floats_of(model: Any, setting: Setting) -> frozenset[str]:
    """The names of the nodes that stay in float: those that were asked to, and those at a tensor without bounds."""
    operators = set(setting.options.float_operators or ())
    return setting.float_nodes | {
        name_of(node)
        for node in model.graph.node
        if node.op_type in operators or not setting.unbounded.isdisjoint((*node.input, *node.output))
    }


def _multiplies(node: Any, sizes: Mapping[str, int]) -> bool:
    return node.op_type in PRODUCTS and len(node.input) > 1 and node.input[1] in sizes


def _size(node: Any, sizes: Mapping[str, int]) -> int:
    return sizes[node.input[1]]


def _is_large(node: Any, sizes: Mapping[str, int]) -> bool:
    return node.op_type not in {"MatMul", "Gemm"} or _size(node, sizes) >= _FEWEST_MULTIPLIED


def _grown(graph: Any, products: set[str], floats: Collection[str], constants: Collection[str]) -> list[str]:
    """The products and all that lies between them: what does not is taken out until nothing changes."""
    makers = {output: name_of(node) for node in graph.node for output in node.output}
    readers = readers_of(graph)
    between = [node for node in graph.node if node.op_type in BETWEEN and name_of(node) not in floats]
    kept = products | {name_of(node) for node in between}
    while True:
        lonely = [node for node in between if not _belongs(node, kept, makers, readers, constants)]
        if not lonely:
            return [name_of(node) for node in graph.node if name_of(node) in kept]
        kept -= {name_of(node) for node in lonely}
        gone = {name_of(node) for node in lonely}
        between = [node for node in between if name_of(node) not in gone]


def _belongs(
    node: Any,
    kept: Collection[str],
    makers: Mapping[str, str],
    readers: Mapping[str, list[Reader]],
    constants: Collection[str],
) -> bool:
    """Whether quantized operators make all that a node computes with, and one of them reads what it makes."""
    computed: Iterable[str] = list(node.input)[: BETWEEN[node.op_type]]
    made = all(makers.get(name) in kept for name in computed if name and name not in constants)
    if node.op_type in {"Relu", "Clip"}:  # becomes the range of what it follows, and costs nothing
        return made
    return made and any(name_of(one.node) in kept for output in node.output for one in readers.get(output, ()))
