"""Write the mean over all pixels as `GlobalAveragePool`: ONNX Runtime has an 8-bit kernel for that alone.

In a net with squeeze-and-excite that was 0.81 instead of 0.89 of float32's latency, in digits-mobile 0.86 instead of
0.97: the numbers in between stay in 8 bits.
"""

from typing import Any

import numpy as np

from edgepack.convert.passes.readers import attribute_of


def pool_means(model: Any) -> bool:
    """Replace each mean over the last two axes of four; returns whether the model changed. Shapes must be known."""
    from onnx import helper, numpy_helper

    graph = model.graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer if one.data_type == _int64()}
    ranks = {
        one.name: len(one.type.tensor_type.shape.dim)
        for one in (*graph.value_info, *graph.input)
        if one.type.tensor_type.HasField("shape")
    }
    nodes: list[Any] = []
    shapes: list[Any] = []
    for node in graph.node:
        if node.op_type != "ReduceMean" or ranks.get(node.input[0]) != 4 or _axes(node, values) != [2, 3]:
            nodes.append(node)
            continue
        mean = node.output[0]
        pooled = mean if attribute_of(node, "keepdims", 1) else f"{mean}/pooled"
        nodes.append(helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], node.name or mean))
        if pooled != mean:
            shapes.append(numpy_helper.from_array(np.array([0, -1]), f"{mean}/shape"))
            nodes.append(helper.make_node("Reshape", [pooled, shapes[-1].name], [mean], f"{mean}/flat"))
    changed = len(nodes) != len(graph.node) or any(a is not b for a, b in zip(nodes, graph.node, strict=True))
    if changed:
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.extend(shapes)
    return changed


def _int64() -> int:
    from onnx import TensorProto

    return int(TensorProto.INT64)


def _axes(node: Any, values: dict[str, Any]) -> list[int]:
    """The axes of the mean, from the front; they are an attribute until opset 17 and an input from 18 on."""
    if len(node.input) > 1:
        given = values.get(node.input[1], np.zeros(0, np.int64)).ravel().tolist()
    else:
        given = next((list(one.ints) for one in node.attribute if one.name == "axes"), [])
    return sorted(axis % 4 for axis in given)
